//! What goes back over HTTP.

use crate::rejection::Rejection;
use crate::wire::envelope::{self, RequestId};
use crate::wire::{header, sse};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use tokio::sync::mpsc;

/// A finished reply.
pub(crate) struct Replied {
    pub(crate) status: StatusCode,
    /// A JSON-RPC message; none for a notification that was accepted.
    pub(crate) body: Option<Bytes>,
}

impl Replied {
    /// The one place where a rejection becomes a protocol error.
    pub(crate) fn rejected(id: Option<&RequestId>, rejection: &Rejection, modern: bool) -> Self {
        let data = rejection.data();
        let body = envelope::error(id, rejection.code(), &rejection.message(), data.as_ref());
        Self { status: rejection.status(modern), body: Some(body) }
    }
}

/// The HTTP status that the modern revision demands for an error which an upstream made.
pub(crate) fn status_of(error: &[u8]) -> StatusCode {
    #[derive(serde::Deserialize)]
    struct Code {
        code: i64,
    }
    match serde_json::from_slice(error) {
        Ok(Code { code: -32022..=-32020 }) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// Work that ends in a reply. Dropping it is how a client that leaves cancels its call.
pub(crate) type Work = Pin<Box<dyn Future<Output = Replied> + Send>>;

/// Waits for the reply. If notifications come first, the reply becomes a stream of events that ends with it.
pub(crate) async fn respond(
    mut work: Work,
    mut notifications: mpsc::Receiver<Bytes>,
    json: bool,
) -> Response {
    let first = tokio::select! {
        biased;
        Some(first) = notifications.recv() => Some(first),
        replied = &mut work => {
            return if json || replied.body.is_none() || replied.status != StatusCode::OK {
                self::json(replied)
            } else {
                events(Box::pin(std::future::ready(replied)), notifications, None)
            };
        }
    };
    events(work, notifications, first)
}

pub(crate) fn json(replied: Replied) -> Response {
    let has_body = replied.body.is_some();
    let mut response = Response::new(replied.body.map_or_else(Body::empty, Body::from));
    *response.status_mut() = replied.status;
    if has_body {
        set(&mut response, CONTENT_TYPE, "application/json");
    }
    response
}

pub(crate) fn method_not_allowed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    set(&mut response, ALLOW, "POST");
    response
}

/// The state of a stream of events.
struct Events {
    /// `None` when the reply is there and everything was sent.
    work: Option<Work>,
    replied: Option<Bytes>,
    notifications: mpsc::Receiver<Bytes>,
    first: Option<Bytes>,
}

impl Events {
    /// The next event: notifications in the order they came, then the reply.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(notification) = self.notifications.recv() => return Some(notification),
                replied = work => {
                    self.work = None;
                    self.replied = replied.body;
                }
            }
        }
        match self.notifications.try_recv() {
            Ok(notification) => Some(notification),
            Err(_) => self.replied.take(),
        }
    }
}

fn events(work: Work, notifications: mpsc::Receiver<Bytes>, first: Option<Bytes>) -> Response {
    let events = Events { work: Some(work), replied: None, notifications, first };
    let body = stream::unfold(events, |mut events| async move {
        let message = events.next().await?;
        Some((Ok::<_, Infallible>(sse::message(&message)), events))
    });
    let mut response = Response::new(Body::from_stream(body));
    set(&mut response, CONTENT_TYPE, "text/event-stream");
    set(&mut response, CACHE_CONTROL, "no-cache");
    set(&mut response, header::ACCEL_BUFFERING, "no");
    response
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}
