//! One client that follows a task: a socket and little else, so that a thousand of them cost less than what they measure.

use super::chunks::Chunks;
use super::connection::begin;
use super::sse::SseReader;
use super::stamps::{Stamps, now};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// What the kernel keeps for a client that does not read; it at least doubles the figure.
const SMALL_WINDOW: u32 = 4096;

/// A stream of events that has begun.
pub(super) struct Tap {
    stream: TcpStream,
    /// `None` if the body is not chunked.
    chunks: Option<Chunks>,
    reader: SseReader,
    stamps: Stamps,
    completed: bool,
    /// Between the writing of each stamp and its arrival.
    pub(super) delays: Vec<Duration>,
}

impl Tap {
    /// Sends a request, and reads the head of its answer and at least one event. `slow`: as little as possible is
    /// buffered for a client that does not read.
    pub(super) async fn open(address: SocketAddr, request: &[u8], slow: bool) -> Result<Self, String> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(|e| format!("socket: {e}"))?;
        if slow {
            socket.set_recv_buffer_size(SMALL_WINDOW).map_err(|e| format!("receive buffer: {e}"))?;
        }
        let mut stream = socket.connect(address).await.map_err(|e| format!("connect {address}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream.write_all(request).await.map_err(|e| format!("request: {e}"))?;
        let (reader, stamps, delays) = (SseReader::default(), Stamps::default(), Vec::new());
        let mut tap = Self { stream, chunks: None, reader, stamps, completed: false, delays };
        let mut head = Vec::new();
        let body = loop {
            let (bytes, count) = tap.read().await?;
            head.extend_from_slice(bytes.get(..count).unwrap_or_default());
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break head.split_off(end + 4);
            }
        };
        let lines = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let is_stream = lines.contains("text/event-stream");
        tap.chunks = lines.contains("transfer-encoding: chunked").then(Chunks::default);
        if !head.starts_with(b"HTTP/1.1 200") || !is_stream {
            return Err(format!("no stream: {} {}", begin(&head), begin(&body)));
        }
        let mut events = tap.take(&body)?;
        while events == 0 {
            events += tap.next().await?;
        }
        Ok(tap)
    }

    /// Reads until the task has completed; there must be so many stamps then.
    pub(super) async fn follow(&mut self, stamps: u64) -> Result<(), String> {
        while !self.completed {
            self.next().await.map_err(|e| format!("{e}, after {} of {stamps} stamps", self.stamps.seen()))?;
        }
        if self.stamps.seen() == stamps {
            Ok(())
        } else {
            Err(format!("{} of {stamps} stamps when the task completed", self.stamps.seen()))
        }
    }

    async fn next(&mut self) -> Result<usize, String> {
        let (bytes, count) = self.read().await?;
        self.take(bytes.get(..count).unwrap_or_default())
    }

    /// Waits before it takes a buffer: idle taps have none.
    async fn read(&mut self) -> Result<(Box<[u8; 8192]>, usize), String> {
        self.stream.readable().await.map_err(|e| e.to_string())?;
        let mut bytes = Box::new([0; 8192]);
        match self.stream.read(&mut bytes[..]).await {
            Ok(0) => Err("the stream broke off".into()),
            Ok(count) => Ok((bytes, count)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns how many events were complete.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let time = now();
        match &mut self.chunks {
            None => self.reader.push(bytes),
            Some(chunks) => {
                let mut content = Vec::with_capacity(bytes.len());
                chunks.take(bytes, &mut content)?;
                self.reader.push(&content);
            }
        }
        let mut events = 0;
        while let Some(event) = self.reader.next_event() {
            events += 1;
            let written = self.stamps.take(&event)?;
            self.delays.extend(written.into_iter().map(|written| time.saturating_sub(written)));
            self.completed |= event.windows(20).any(|text| text == b"TASK_STATE_COMPLETED");
        }
        Ok(events)
    }
}
