use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How HTTP/2 begins. What begins otherwise is HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that ends when its client does not say in time which version of HTTP it speaks. None of hyper's time-outs
/// counts before that, so a client that says nothing would keep its place for ever.
pub(crate) struct Punctual {
    stream: TcpStream,
    /// `None` once the version is known.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes of the preface so far.
    matched: usize,
}

impl Punctual {
    pub(crate) fn new(stream: TcpStream, time: Duration) -> Self {
        Self { stream, deadline: Some(Box::pin(sleep(time))), matched: 0 }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        let wanted = &PREFACE[self.matched..];
        let shared = wanted.len().min(bytes.len());
        self.matched += shared;
        if self.matched == PREFACE.len() || bytes[..shared] != wanted[..shared] {
            self.deadline = None;
        }
    }
}

impl AsyncRead for Punctual {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            if self.deadline.is_some() {
                self.look_at(&buffer.filled()[before..]);
            }
            return Poll::Ready(read);
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not begin to speak")))
    }
}

impl AsyncWrite for Punctual {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
