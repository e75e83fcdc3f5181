//! The answer in a response: JSON, or a stream of events with the answer in it.

use super::exchange::Exchange;
use super::link::Body;
use super::pieces::{Pieces, Until};
use super::session::HttpSession;
use crate::upstream::questions::{Asked, Questions};
use crate::upstream::{Answer, Asker, Notify, Outgoing, UpstreamError};
use crate::wire::incoming::{Incoming, cancelled_id};
use crate::wire::splice::{Kind, Splicer};
use crate::wire::sse::{Event, Reader};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// From this size on an answer is passed on while it arrives.
pub(super) const STREAM_FROM: usize = 64 << 10;
/// Pause before a stream is resumed, unless the server names one, and the bounds of what it may name.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));
/// Attempts to resume a stream that may fail in a row.
const ATTEMPTS: usize = 5;

/// The request whose answer is read.
pub(super) struct Question<'a> {
    id: u64,
    notify: Option<&'a Notify>,
    asker: Option<&'a Arc<dyn Asker>>,
    streams: bool,
}

impl<'a> Question<'a> {
    pub(super) fn of(outgoing: &'a Outgoing<'_>, id: u64) -> Self {
        let (notify, asker) = (outgoing.notify.as_ref(), outgoing.asker.as_ref());
        Self { id, notify, asker, streams: outgoing.streams }
    }

    /// One of the gateway's own.
    pub(super) fn own(id: u64) -> Self {
        Self { id, notify: None, asker: None, streams: false }
    }
}

/// Whether a response is a stream of events.
pub(super) fn is_events<T>(response: &Response<T>) -> bool {
    kind(response).starts_with("text/event-stream")
}

fn kind<T>(response: &Response<T>) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// What a status alone says.
pub(super) fn check(status: StatusCode) -> Result<(), UpstreamError> {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(UpstreamError::Unauthorized(format!("HTTP {status}").into()));
    }
    if status.is_server_error() || status.is_redirection() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(UpstreamError::unavailable(format!("HTTP {status}")));
    }
    Ok(())
}

/// Reads the answer; `None` if the response has none.
pub(super) async fn read(
    exchange: &Arc<Exchange>,
    session: &Arc<HttpSession>,
    response: Response<Body>,
    question: &Question<'_>,
) -> Result<Option<Answer>, UpstreamError> {
    let status = response.status();
    check(status)?;
    if is_events(&response) {
        return Box::pin(events(exchange, session, response.into_body(), question)).await.map(Some);
    }
    let is_json = kind(&response).starts_with("application/json");
    let streams = question.streams && is_json && status.is_success();
    let body = match collect(exchange, session, response.into_body(), streams.then_some(question.id)).await? {
        Collected::Streamed(answer) => return Ok(Some(answer)),
        Collected::Whole(body) => body,
    };
    if body.is_empty() {
        return Ok(None);
    }
    if !is_json {
        return if status.is_success() {
            Err(UpstreamError::bad_answer("its answer is neither JSON nor an event stream"))
        } else {
            Ok(None)
        };
    }
    let message: Incoming<'_> = serde_json::from_slice(&body)
        .map_err(|error| UpstreamError::bad_answer(format!("its answer is not a message: {error}")))?;
    // An error about a request that the server could not read has no id.
    match (message.answers(question.id), message.error, message.result) {
        (_, Some(error), _) => Ok(Some(Answer::Error(slice(&body, error)))),
        (true, None, Some(result)) => Ok(Some(Answer::Result(slice(&body, result).into()))),
        (false, None, Some(_)) => Err(UpstreamError::bad_answer("it answered another request")),
        (_, None, None) if status.is_success() => Err(UpstreamError::bad_answer("neither result nor error")),
        (_, None, None) => Ok(None),
    }
}

fn slice(whole: &Bytes, part: &RawValue) -> Bytes {
    whole.slice_ref(part.get().as_bytes())
}

/// A body, or a large result in it.
enum Collected {
    Whole(Bytes),
    Streamed(Answer),
}

/// The body up to the limit. With the id of a request that may be streamed, a large result of it is found.
async fn collect(
    exchange: &Exchange,
    session: &Arc<HttpSession>,
    mut body: Body,
    streamed: Option<u64>,
) -> Result<Collected, UpstreamError> {
    let limit = exchange.max_result;
    let length = body.length();
    if length.is_some_and(|length| length > limit as u64) {
        return Err(UpstreamError::TooLarge { limit });
    }
    let Some(first) = body.piece_within(exchange.idle).await? else {
        return Ok(Collected::Whole(Bytes::new()));
    };
    if body.is_done() && first.len() <= limit {
        return Ok(Collected::Whole(first));
    }
    let mut search =
        streamed.filter(|_| length.is_none_or(|length| length > STREAM_FROM as u64)).map(Search::new);
    let mut whole =
        BytesMut::with_capacity(length.and_then(|l| usize::try_from(l).ok()).unwrap_or(0).min(STREAM_FROM));
    let mut next = Some(first);
    while let Some(piece) = next {
        if whole.len() + piece.len() > limit {
            return Err(UpstreamError::TooLarge { limit });
        }
        whole.extend_from_slice(&piece);
        if whole.len() >= STREAM_FROM
            && let Some(mut found) = search.take()
        {
            match found.look(&whole) {
                Look::Found => {
                    let pieces = found.into_pieces(whole.freeze(), body, limit, Until::End, session);
                    return Ok(Collected::Streamed(Answer::Result(pieces.into_text())));
                }
                Look::Elsewhere => {}
                Look::Further => search = Some(found),
            }
        }
        next = body.piece_within(exchange.idle).await?;
    }
    Ok(Collected::Whole(whole.freeze()))
}

/// Follows a stream of events until the answer is in it. A stream that breaks off is resumed where the server gave its
/// events ids.
async fn events(
    exchange: &Arc<Exchange>,
    session: &Arc<HttpSession>,
    body: Body,
    question: &Question<'_>,
) -> Result<Answer, UpstreamError> {
    let mut questions = Questions::default();
    let mut reader = Reader::new(exchange.max_result);
    let mut body = Some(body);
    let mut failed = 0;
    loop {
        let Some(stream) = body.take() else { return Err(UpstreamError::unavailable("its stream ended")) };
        let broken = match follow(exchange, session, &mut reader, stream, question, &mut questions).await {
            Followed::Answer(answer) => return answer,
            Followed::Broken(broken) => broken,
        };
        if session.revision.is_modern() || reader.last_id().is_none() {
            return Err(broken);
        }
        while body.is_none() {
            tokio::time::sleep(reader.retry().unwrap_or(PAUSE).clamp(PAUSES.0, PAUSES.1)).await;
            match exchange.get(session, reader.last_id()).await {
                Ok(response) if response.status().is_success() && is_events(&response) => {
                    failed = 0;
                    reader = reader.resumed();
                    body = Some(response.into_body());
                }
                // A refusal will stay one.
                Ok(response) if response.status().is_client_error() => return Err(broken),
                Ok(_) | Err(_) if failed < ATTEMPTS => failed += 1,
                Ok(_) | Err(_) => return Err(broken),
            }
        }
    }
}

/// How following a stream ended.
enum Followed {
    Answer(Result<Answer, UpstreamError>),
    /// Before the answer.
    Broken(UpstreamError),
}

async fn follow(
    exchange: &Arc<Exchange>,
    session: &Arc<HttpSession>,
    reader: &mut Reader,
    mut body: Body,
    question: &Question<'_>,
    questions: &mut Questions,
) -> Followed {
    let limit = exchange.max_result;
    let mut look_from = STREAM_FROM;
    loop {
        // A client that can be asked may take its time to answer, and the server says nothing meanwhile.
        let piece = match question.asker {
            Some(_) => body.piece().await,
            None => body.piece_within(exchange.idle).await,
        };
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                return Followed::Broken(UpstreamError::unavailable("its stream ended before the answer"));
            }
            Err(error) => return Followed::Broken(error),
        };
        reader.push(&piece);
        while let Some(event) = reader.next_event() {
            let Event::Data(data) = event else {
                return Followed::Answer(Err(UpstreamError::TooLarge { limit }));
            };
            match take(exchange, session, &data, question, questions) {
                Ok(Taken::Nothing) => {}
                // The server waits for this; if it cannot be told, the call's deadline ends the wait.
                Ok(Taken::Reply(message)) => drop(exchange.tell(session, message).await),
                Ok(Taken::Answer(answer)) => {
                    body.drain();
                    return Followed::Answer(Ok(answer));
                }
                Err(error) => return Followed::Answer(Err(error)),
            }
        }
        if question.streams
            && let Some(unfinished) = reader.unfinished().filter(|so_far| so_far.len() >= look_from)
        {
            let mut search = Search::new(question.id);
            if matches!(search.look(unfinished), Look::Found) {
                let first = std::mem::replace(reader, Reader::new(limit)).into_unfinished();
                let pieces = search.into_pieces(first, body, limit, Until::LineEnd, session);
                return Followed::Answer(Ok(Answer::Result(pieces.into_text())));
            }
            look_from = unfinished.len() * 2;
        }
    }
}

/// What an event was.
enum Taken {
    Nothing,
    /// A question that is answered with this message.
    Reply(Vec<u8>),
    Answer(Answer),
}

/// Takes one event.
fn take(
    exchange: &Arc<Exchange>,
    session: &Arc<HttpSession>,
    data: &Bytes,
    question: &Question<'_>,
    questions: &mut Questions,
) -> Result<Taken, UpstreamError> {
    if data.is_empty() {
        return Ok(Taken::Nothing);
    }
    let message: Incoming<'_> = serde_json::from_slice(data)
        .map_err(|error| UpstreamError::bad_answer(format!("an event is not a message: {error}")))?;
    match (message.id, message.method.as_deref()) {
        (None, Some("notifications/cancelled")) => {
            if let Some(id) = cancelled_id(message.params) {
                questions.withdraw(id);
            }
        }
        (None, Some(method)) => notified(question.notify, method, message.params, data),
        (Some(id), Some(method)) => {
            let (exchange, session) = (Arc::clone(exchange), Arc::clone(session));
            let tell = async move |message| drop(exchange.tell(&session, message).await);
            let params = message.params.map(RawValue::get);
            if let Asked::Now(reply) = questions.ask(question.asker, id.get(), method, params, tell) {
                return Ok(Taken::Reply(reply));
            }
        }
        (Some(_), None) if message.answers(question.id) => {
            return match (message.result, message.error) {
                (_, Some(error)) => Ok(Taken::Answer(Answer::Error(slice(data, error)))),
                (Some(result), None) => Ok(Taken::Answer(Answer::Result(slice(data, result).into()))),
                (None, None) => Err(UpstreamError::bad_answer("neither result nor error")),
            };
        }
        _ => tracing::debug!(upstream = &*exchange.upstream, "an answer that nobody waits for"),
    }
    Ok(Taken::Nothing)
}

fn notified(notify: Option<&Notify>, method: &str, params: Option<&RawValue>, message: &Bytes) {
    let Some(notify) = notify else { return };
    match (method, params) {
        ("notifications/progress", Some(params)) => notify.progress(params.get()),
        ("notifications/message", _) => notify.log(message),
        _ => {}
    }
}

/// Looks for a large result in the beginning of an answer.
struct Search {
    splicer: Splicer,
    looked: usize,
    start: Option<usize>,
    end: usize,
}

enum Look {
    /// It begins here, and is an object.
    Found,
    /// It may be in what comes.
    Further,
    /// The answer is something else.
    Elsewhere,
}

impl Search {
    fn new(id: u64) -> Self {
        Self { splicer: Splicer::new(id), looked: 0, start: None, end: 0 }
    }

    /// Looks at what came since the last time.
    fn look(&mut self, so_far: &[u8]) -> Look {
        let Ok(range) = self.splicer.push(&so_far[self.looked..]) else { return Look::Elsewhere };
        if !range.is_empty() {
            self.start.get_or_insert(self.looked + range.start);
            self.end = self.looked + range.end;
        }
        self.looked = so_far.len();
        match (self.splicer.kind(), self.start) {
            (Kind::Other, _) => Look::Elsewhere,
            (Kind::Result, Some(start)) if so_far[start] == b'{' => Look::Found,
            (Kind::Result, Some(_)) => Look::Elsewhere,
            _ => Look::Further,
        }
    }

    fn into_pieces(
        self,
        so_far: Bytes,
        body: Body,
        limit: usize,
        until: Until,
        session: &Arc<HttpSession>,
    ) -> Pieces {
        let start = self.start.unwrap_or(self.end);
        Pieces::new(self.splicer, so_far.slice(start..self.end), body, limit, until, Arc::clone(session))
    }
}
