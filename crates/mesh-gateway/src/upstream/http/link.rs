//! Connections that are kept, and what is read from them.
//!
//! A connection has no task of its own: whoever uses it drives it, and while nobody does, it rests. So a call wakes
//! nobody else, and dropping a call closes its connection at once.

use super::socket::{Address, Socket};
use crate::upstream::UpstreamError;
use crate::upstream::held::stalled;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection may rest.
const IDLE: Duration = Duration::from_secs(60);

/// How much of a body that nobody wants is read, and for how long, before its connection is rather closed.
const REST: usize = 64 << 10;
const SOON: Duration = Duration::from_secs(1);

/// A connection.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<Socket>, Full<Bytes>>,
    ended: bool,
}

impl Link {
    async fn open(address: &Address) -> Result<Box<Self>, UpstreamError> {
        let refused = |error: &dyn std::fmt::Display| {
            UpstreamError::not_sent(format!("it cannot be connected to ({error})"))
        };
        let socket = address.connect().await.map_err(|error| refused(&error))?;
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(socket)).await.map_err(|error| refused(&error))?;
        Ok(Box::new(Self { sender, connection, ended: false }))
    }

    /// Reads and writes as far as that goes.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // Why it ended, the request learns, too.
            self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    /// Whether it takes another request. Waits until the last one is cleared away.
    async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            if self.ended {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(cx).map(|ready| ready.is_ok())
        })
        .await
    }

    /// Whether it has ended while it rested.
    fn has_ended(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.ended
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            if !self.ended {
                self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
            }
            response.as_mut().poll(cx)
        })
        .await
    }
}

/// The connections to one server: those that rest, at most so many; the newest is used first.
pub(super) struct Pool {
    address: Address,
    limit: usize,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    links: Vec<(Box<Link>, Instant)>,
    /// Somebody looks after those whose time is over.
    watched: bool,
}

impl Pool {
    pub(super) fn new(address: Address, limit: usize) -> Self {
        Self { address, limit, resting: Mutex::default() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request once. One that was not written because the connection had ended meanwhile goes over another.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, UpstreamError> {
        loop {
            let (mut link, rested) = match self.take().await {
                Some(link) => (link, true),
                None => (Link::open(&self.address).await?, false),
            };
            match link.send(request).await {
                Ok(response) => {
                    let body = |incoming| Body { link: Some(link), incoming, pool: Arc::clone(self) };
                    return Ok(response.map(body));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if rested => request = unsent,
                    Some(_) => return Err(broke(error.error()).before_request()),
                    _ => return Err(broke(error.error())),
                },
            }
        }
    }

    async fn take(&self) -> Option<Box<Link>> {
        loop {
            let (mut link, since) = self.lock().links.pop()?;
            if since.elapsed() < IDLE && link.is_ready().await {
                return Some(link);
            }
        }
    }

    fn put(self: &Arc<Self>, link: Box<Link>) {
        let mut resting = self.lock();
        if link.ended || resting.links.len() >= self.limit {
            return;
        }
        resting.links.push((link, Instant::now()));
        if !std::mem::replace(&mut resting.watched, true) {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that rested too long or that the server closed, until none is left.
async fn watch(pool: std::sync::Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut resting = pool.lock();
        resting.links.retain_mut(|(link, since)| since.elapsed() < IDLE && !link.has_ended());
        if resting.links.is_empty() {
            resting.watched = false;
            return;
        }
    }
}

/// The body of a response. Read to its end it gives its connection back; dropped before, it closes it.
pub(super) struct Body {
    link: Option<Box<Link>>,
    incoming: Incoming,
    pool: Arc<Pool>,
}

impl Body {
    /// What `Content-Length` says.
    pub(super) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Whether everything was read.
    pub(super) fn is_done(&self) -> bool {
        self.link.is_none()
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let piece = poll_fn(|cx| self.poll_piece(cx)).await?;
        if piece.is_none() || self.incoming.is_end_stream() {
            self.give_back();
        }
        Ok(piece)
    }

    /// The same, for no longer than that.
    pub(super) async fn piece_within(&mut self, idle: Duration) -> Result<Option<Bytes>, UpstreamError> {
        tokio::time::timeout(idle, self.piece()).await.unwrap_or_else(|_| Err(stalled(idle)))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamError>> {
        // Asked first, so that the connection knows that more is wanted when it is driven.
        let mut driven = false;
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broke(&error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    // Trailers mean nothing here.
                    Err(_) => continue,
                },
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {}
            }
            driven = true;
            match &mut self.link {
                Some(link) => link.drive(cx),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Lets the connection be used again if the rest of the body is short and comes soon.
    pub(super) fn drain(mut self) {
        if self.link.is_none() {
            return;
        }
        if self.incoming.is_end_stream() {
            return self.give_back();
        }
        match self.poll_piece(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(None)) => return self.give_back(),
            Poll::Ready(Err(_)) => return,
            Poll::Ready(Ok(Some(_))) | Poll::Pending => {}
        }
        tokio::spawn(async move {
            let rest = async {
                let mut left = REST;
                while let Ok(Some(piece)) = self.piece().await {
                    left = left.checked_sub(piece.len())?;
                }
                Some(())
            };
            // Otherwise it is closed.
            let _ = tokio::time::timeout(SOON, rest).await;
        });
    }

    fn give_back(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.put(link);
        }
    }
}

fn broke(error: &hyper::Error) -> UpstreamError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    UpstreamError::unavailable(format!("the connection broke ({cause})"))
}
