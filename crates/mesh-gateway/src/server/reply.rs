//! What goes back over HTTP.

use crate::rejection::Rejection;
use crate::upstream::{ResultText, UpstreamError};
use crate::wire::envelope::{self, RequestId};
use crate::wire::{header, sse};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a stream may be silent before a comment shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A finished reply.
pub(crate) struct Replied {
    pub(crate) status: StatusCode,
    pub(crate) body: ReplyBody,
    /// The session that begins with this reply.
    pub(crate) session: Option<String>,
}

/// A JSON-RPC message, or none.
pub(crate) enum ReplyBody {
    /// A notification or a response was accepted, or a request was cancelled.
    Nothing,
    Whole(Bytes),
    /// The text before the result, its pieces, and `}`.
    Pieces(Bytes, BoxStream<'static, Result<Bytes, UpstreamError>>),
}

impl Replied {
    pub(crate) fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, body: ReplyBody::Nothing, session: None }
    }

    pub(crate) fn whole(status: StatusCode, message: Bytes) -> Self {
        Self { status, body: ReplyBody::Whole(message), session: None }
    }

    pub(crate) fn result(id: &RequestId, result: ResultText) -> Self {
        let body = match result {
            ResultText::Whole(result) => ReplyBody::Whole(envelope::result(id, &result)),
            ResultText::Streamed(pieces) => ReplyBody::Pieces(envelope::before_result(id, 0).into(), pieces),
        };
        Self { status: StatusCode::OK, body, session: None }
    }

    /// The one place where a rejection becomes a protocol error.
    pub(crate) fn rejected(id: Option<&RequestId>, rejection: &Rejection, modern: bool) -> Self {
        if matches!(rejection, Rejection::Cancelled) {
            return Self::accepted();
        }
        let data = rejection.data();
        let body = envelope::error(id, rejection.code_for(modern), &rejection.message(), data.as_ref());
        Self::whole(rejection.status(modern), body)
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
        Ok(Code { code: -32601 }) => StatusCode::NOT_FOUND,
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
            let nothing = matches!(replied.body, ReplyBody::Nothing);
            // What was said on the way comes first, also when all of it came at once.
            let first = notifications.try_recv().ok();
            return if first.is_some() {
                events(Box::pin(std::future::ready(replied)), notifications, first)
            } else if json || nothing || replied.status != StatusCode::OK {
                self::json(replied)
            } else {
                let session = session_header(&replied);
                let mut response = events(Box::pin(std::future::ready(replied)), notifications, None);
                response.headers_mut().extend(session);
                response
            };
        }
    };
    events(work, notifications, first)
}

pub(crate) fn json(replied: Replied) -> Response {
    let session = session_header(&replied);
    let has_body = !matches!(replied.body, ReplyBody::Nothing);
    let body = match replied.body {
        ReplyBody::Nothing => Body::empty(),
        ReplyBody::Whole(message) => Body::from(message),
        ReplyBody::Pieces(before, pieces) => Body::from_stream(message_of(before, pieces)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = replied.status;
    if has_body {
        set(&mut response, CONTENT_TYPE, "application/json");
    }
    response.headers_mut().extend(session);
    response
}

fn session_header(replied: &Replied) -> Option<(HeaderName, HeaderValue)> {
    let session = HeaderValue::from_str(replied.session.as_deref()?).ok()?;
    Some((header::SESSION_ID, session))
}

pub(crate) fn method_not_allowed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    set(&mut response, ALLOW, "GET, POST, DELETE");
    response
}

/// A message around the pieces of its result. An error in the middle breaks the connection off: nothing else says that what was sent is not
/// all.
fn message_of(
    before: Bytes,
    pieces: BoxStream<'static, Result<Bytes, UpstreamError>>,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let once = |text| stream::once(std::future::ready(Ok(text)));
    once(before).chain(pieces).chain(once(Bytes::from_static(b"}"))).boxed()
}

/// The state of a stream of events.
struct Events {
    /// `None` when the reply is there.
    work: Option<Work>,
    /// What is left of the reply.
    reply: Option<BoxStream<'static, Result<Bytes, UpstreamError>>>,
    notifications: mpsc::Receiver<Bytes>,
    first: Option<Bytes>,
}

impl Events {
    /// The next bytes: notifications in the order they came, then the reply.
    async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(sse::message(&first)));
        }
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(notification) = self.notifications.recv() => return Some(Ok(sse::message(&notification))),
                replied = work => {
                    self.work = None;
                    self.reply = event_of(replied.body);
                }
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Ok(Bytes::from_static(b": alive\n\n"))),
            }
        }
        if let Ok(notification) = self.notifications.try_recv() {
            return Some(Ok(sse::message(&notification)));
        }
        self.reply.as_mut()?.next().await
    }
}

/// The event that carries a reply.
fn event_of(body: ReplyBody) -> Option<BoxStream<'static, Result<Bytes, UpstreamError>>> {
    let once = |text| stream::once(std::future::ready(Ok(text)));
    match body {
        ReplyBody::Nothing => None,
        ReplyBody::Whole(message) => Some(once(sse::message(&message)).boxed()),
        ReplyBody::Pieces(before, pieces) => {
            let one_line = message_of(before, pieces).map_ok(|piece| {
                if piece.iter().any(|b| matches!(b, b'\n' | b'\r')) {
                    piece.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect()
                } else {
                    piece
                }
            });
            let start = once(Bytes::from_static(b"event: message\ndata: "));
            Some(start.chain(one_line).chain(once(Bytes::from_static(b"\n\n"))).boxed())
        }
    }
}

/// A stream of events that ends with the work's reply.
pub(crate) fn events(work: Work, notifications: mpsc::Receiver<Bytes>, first: Option<Bytes>) -> Response {
    let events = Events { work: Some(work), reply: None, notifications, first };
    let body = stream::unfold(Some(events), async |events| {
        let mut events = events?;
        let next = events.next().await?;
        let go_on = next.is_ok();
        Some((next, go_on.then_some(events)))
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
