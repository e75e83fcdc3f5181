//! One client's connection.

use super::mode::Mode;
use super::request::end_of_request;
use super::server::Shared;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

const PIECE: usize = 16 << 10;
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\nbroken\n";
const GARBAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"jso\xffn]\n";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// An event in a chunk: a remark, which no client has to look at.
const EVENT: &[u8] = b"f\r\n: still there\n\n\r\n";
const EVENT_PAUSE: Duration = Duration::from_millis(20);

/// Serves a connection until somebody closes it.
pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let mode = shared.mode();
    let mut connection =
        Connection { client, servers: HashMap::new(), current: None, unread: Vec::new(), mode, shared };
    // Whoever sits at either end notices.
    let _ = connection.run().await;
}

struct Connection {
    client: TcpStream,
    /// Connections that are kept, by target.
    servers: HashMap<SocketAddr, TcpStream>,
    /// The one that answers.
    current: Option<SocketAddr>,
    /// What the client sent and is no whole request.
    unread: Vec<u8>,
    mode: watch::Receiver<Mode>,
    shared: Arc<Shared>,
}

enum Happened {
    FromClient(usize),
    FromServer(usize),
    ModeChanged,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        self.client.set_nodelay(true)?;
        let (mut sent, mut answered) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let mode = *self.mode.borrow_and_update();
            match mode {
                Mode::Reset => return self.reset(),
                Mode::HalfOpen => {
                    self.changed().await?;
                    continue;
                }
                _ => {}
            }
            let server = self.current.and_then(|address| self.servers.get_mut(&address));
            let happened = tokio::select! {
                count = self.client.read(&mut sent) => Happened::FromClient(count?),
                count = read_from(server, &mut answered) => Happened::FromServer(count?),
                changed = self.mode.changed() => changed.map(|()| Happened::ModeChanged).map_err(io::Error::other)?,
            };
            match happened {
                Happened::FromClient(0) | Happened::FromServer(0) => return Ok(()),
                Happened::FromClient(count) => {
                    self.unread.extend_from_slice(sent.get(..count).unwrap_or_default());
                    self.requests(mode).await?;
                }
                Happened::FromServer(count) => {
                    self.answer(answered.get(..count).unwrap_or_default()).await?;
                }
                Happened::ModeChanged => {}
            }
        }
    }

    async fn changed(&mut self) -> io::Result<()> {
        self.mode.changed().await.map_err(io::Error::other)
    }

    /// Closes with RST instead of FIN.
    fn reset(&self) -> io::Result<()> {
        self.client.set_zero_linger()
    }

    /// Does with every whole request what the mode says.
    async fn requests(&mut self, mode: Mode) -> io::Result<()> {
        while let Some(end) = end_of_request(&self.unread).map_err(io::Error::other)? {
            let rest = self.unread.split_off(end);
            let request = std::mem::replace(&mut self.unread, rest);
            self.shared.count();
            match mode {
                Mode::Unavailable => self.client.write_all(UNAVAILABLE).await?,
                Mode::Garbage => self.client.write_all(GARBAGE).await?,
                Mode::Endless => return self.never_end().await,
                Mode::Delay => {
                    sleep(Mode::DELAY).await;
                    self.pass_on(&request).await?;
                }
                _ => self.pass_on(&request).await?,
            }
        }
        Ok(())
    }

    /// To the next target that takes it. One that has gone away since its last answer is connected to again.
    async fn pass_on(&mut self, request: &[u8]) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut failure = io::Error::other("there are no targets");
        for target in shared.turn() {
            match self.send_to(target, request).await {
                Ok(()) => {
                    self.current = Some(target);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn send_to(&mut self, target: SocketAddr, request: &[u8]) -> io::Result<()> {
        let mut server = match self.servers.remove(&target).filter(is_quiet) {
            Some(kept) => kept,
            None => {
                let stream = TcpStream::connect(target).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        server.write_all(request).await?;
        self.servers.insert(target, server);
        Ok(())
    }

    /// A piece of an answer goes back, all at once or byte by byte.
    async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        for (at, byte) in bytes.iter().enumerate() {
            if *self.mode.borrow() != Mode::Trickle {
                return self.client.write_all(bytes.get(at..).unwrap_or_default()).await;
            }
            self.client.write_all(&[*byte]).await?;
            sleep(Mode::TRICKLE).await;
        }
        Ok(())
    }

    async fn never_end(&mut self) -> io::Result<()> {
        self.client.write_all(STREAM).await?;
        while *self.mode.borrow() == Mode::Endless {
            self.client.write_all(EVENT).await?;
            sleep(EVENT_PAUSE).await;
        }
        // The stream has no end that could be told.
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// Waits for ever if there is no server to read from.
async fn read_from(server: Option<&mut TcpStream>, into: &mut [u8]) -> io::Result<usize> {
    match server {
        Some(server) => server.read(into).await,
        None => std::future::pending().await,
    }
}

/// Nothing to read, not even its end.
fn is_quiet(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
