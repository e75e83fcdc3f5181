//! One POST to a server and what comes back: JSON, or a stream of events with the answer in it.

use super::session::Session;
use crate::settings::Settings;
use crate::upstream::held::stalled;
use crate::upstream::outgoing::answer_to_server;
use crate::upstream::{Answer, Notify, Outgoing, UpstreamError};
use crate::wire::sse::{Event, Reader};
use crate::wire::{header, header_value};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Answer),
    /// The server does not know the session (any more).
    Forgotten,
}

/// The HTTP side of one server.
pub(super) struct Exchange {
    pub(super) upstream: Arc<str>,
    client: Client,
    url: reqwest::Url,
    headers: HeaderMap,
    max_result: usize,
    idle: Duration,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Exchange {
    pub(super) fn new(
        upstream: Arc<str>,
        url: &str,
        headers: HeaderMap,
        settings: &Settings,
    ) -> Result<Self, String> {
        let url = reqwest::Url::parse(url).map_err(|error| format!("`{url}`: {error}"))?;
        let client = Client::builder()
            .tcp_nodelay(true)
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.limits.idle_connections)
            .pool_idle_timeout(Duration::from_secs(60))
            // Credentials are configured for one address; a redirect would carry them to another.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { upstream, client, url, headers, max_result: settings.limits.result, idle: settings.idle_timeout })
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(
        &self,
        session: &Session,
        outgoing: Option<&Outgoing<'_>>,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Reply, UpstreamError> {
        let response = self.post(session, outgoing, body).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.id.is_some() {
            return Ok(Reply::Forgotten);
        }
        match self.answer(session, response, id, outgoing.and_then(|o| o.notify.as_ref())).await? {
            Some(answer) => Ok(Reply::Answer(answer)),
            None => Err(UpstreamError::unavailable(format!("HTTP {status} without an answer"))),
        }
    }

    /// Like `call`, but a status or body that a legacy server may answer the unknown with is `None`.
    pub(super) async fn probe(
        &self,
        session: &Session,
        outgoing: &Outgoing<'_>,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Option<Reply>, UpstreamError> {
        let response = self.post(session, Some(outgoing), body).await?;
        match self.answer(session, response, id, None).await {
            Ok(answer) => Ok(answer.map(Reply::Answer)),
            Err(UpstreamError::BadAnswer(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `initialize`: the answer, and the session id that came with it.
    pub(super) async fn initialize(
        &self,
        id: u64,
        body: Vec<u8>,
    ) -> Result<(Answer, Option<HeaderValue>), UpstreamError> {
        let request = self.request().body(body);
        let response = request.send().await.map_err(|error| self.unavailable(&error))?;
        let status = response.status();
        let session_id = response.headers().get(header::SESSION_ID).cloned();
        let session = Session { revision: crate::upstream::Revision::Modern, id: None };
        match self.answer(&session, response, id, None).await? {
            Some(answer) => Ok((answer, session_id)),
            None => Err(UpstreamError::unavailable(format!("HTTP {status} to `initialize`"))),
        }
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, session: &Session, message: Vec<u8>) -> Result<(), UpstreamError> {
        self.post(session, None, message).await.map(drop)
    }

    /// Ends a session.
    pub(super) async fn delete(&self, session: &Session) -> Result<(), UpstreamError> {
        let Some(id) = &session.id else { return Ok(()) };
        let request = self.client.delete(self.url.clone()).headers(self.headers.clone());
        let request = request
            .header(header::SESSION_ID, id)
            .header(header::PROTOCOL_VERSION, session.revision.version());
        request.send().await.map(drop).map_err(|error| self.unavailable(&error))
    }

    fn request(&self) -> RequestBuilder {
        self.client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .headers(self.headers.clone())
    }

    async fn post(
        &self,
        session: &Session,
        outgoing: Option<&Outgoing<'_>>,
        body: Vec<u8>,
    ) -> Result<Response, UpstreamError> {
        let mut request = self.request().header(header::PROTOCOL_VERSION, session.revision.version());
        if let Some(id) = &session.id {
            request = request.header(header::SESSION_ID, id);
        }
        if let Some(outgoing) = outgoing {
            request = request.header(header::TRACEPARENT, outgoing.trace.to_string());
            if let Some(state) = &outgoing.tracestate {
                request = request.header(header::TRACESTATE, state);
            }
            if session.revision.is_modern() {
                request = request.header(header::METHOD, outgoing.method);
                if let Some(name) = outgoing.name {
                    request = request.header(header::NAME, &*header_value::encode(name));
                }
                for (name, value) in &outgoing.param_headers {
                    request = request.header(name, value);
                }
            }
        }
        request.body(body).send().await.map_err(|error| self.unavailable(&error))
    }

    /// Reads the answer to request `id`; `None` if the response has none.
    async fn answer(
        &self,
        session: &Session,
        response: Response,
        id: u64,
        notify: Option<&Notify>,
    ) -> Result<Option<Answer>, UpstreamError> {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(UpstreamError::Unauthorized(format!("HTTP {status}").into()));
        }
        if status.is_server_error() || status.is_redirection() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(UpstreamError::unavailable(format!("HTTP {status}")));
        }
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return self.stream(session, response, id, notify).await.map(Some);
        }
        let is_json = kind.starts_with("application/json");
        let body = self.collect(response).await?;
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
        let ours = message.id.is_some_and(|theirs| theirs.get() == id.to_string());
        match (ours, message.error, message.result) {
            (_, Some(error), _) => Ok(Some(Answer::Error(body.slice_ref(error.get().as_bytes())))),
            (true, None, Some(result)) => {
                Ok(Some(Answer::Result(body.slice_ref(result.get().as_bytes()).into())))
            }
            (false, None, Some(_)) => Err(UpstreamError::bad_answer("it answered another request")),
            (_, None, None) if status.is_success() => {
                Err(UpstreamError::bad_answer("neither result nor error"))
            }
            (_, None, None) => Ok(None),
        }
    }

    /// The body, up to the limit.
    async fn collect(&self, mut response: Response) -> Result<Bytes, UpstreamError> {
        let too_large = UpstreamError::TooLarge { limit: self.max_result };
        if response.content_length().is_some_and(|length| length > self.max_result as u64) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(&mut response).await? {
            if body.len() + piece.len() > self.max_result {
                return Err(too_large);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The next piece of a body, which must not take longer than the idle time-out.
    async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, UpstreamError> {
        match tokio::time::timeout(self.idle, response.chunk()).await {
            Ok(piece) => piece.map_err(|error| self.unavailable(&error)),
            Err(_) => Err(stalled(self.idle)),
        }
    }

    /// Follows a stream of events until the answer is in it.
    async fn stream(
        &self,
        session: &Session,
        mut response: Response,
        id: u64,
        notify: Option<&Notify>,
    ) -> Result<Answer, UpstreamError> {
        let own = id.to_string();
        let mut reader = Reader::new(self.max_result);
        while let Some(piece) = self.piece(&mut response).await? {
            reader.push(&piece);
            while let Some(event) = reader.next_event() {
                let Event::Data(data) = event else {
                    return Err(UpstreamError::TooLarge { limit: self.max_result });
                };
                if data.is_empty() {
                    continue;
                }
                let message: Incoming<'_> = serde_json::from_slice(&data).map_err(|error| {
                    UpstreamError::bad_answer(format!("an event is not a message: {error}"))
                })?;
                let raw = |value: &RawValue| data.slice_ref(value.get().as_bytes());
                match (message.id, message.method.as_deref()) {
                    (None, Some(method)) => notified(notify, method, message.params, &data),
                    (Some(theirs), Some(method)) => {
                        // The server waits for this; if it cannot be told, the call's deadline ends the wait.
                        let _ = self.notify(session, answer_to_server(theirs.get(), method)).await;
                    }
                    (Some(theirs), None) if theirs.get() == own => {
                        return match (message.result, message.error) {
                            (_, Some(error)) => Ok(Answer::Error(raw(error))),
                            (Some(result), None) => Ok(Answer::Result(raw(result).into())),
                            (None, None) => Err(UpstreamError::bad_answer("neither result nor error")),
                        };
                    }
                    _ => tracing::debug!(upstream = &*self.upstream, "an answer that nobody waits for"),
                }
            }
        }
        Err(UpstreamError::unavailable("its stream ended before the answer"))
    }

    fn unavailable(&self, error: &reqwest::Error) -> UpstreamError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        tracing::debug!(upstream = &*self.upstream, error = %cause, "request failed");
        let what = if error.is_connect() {
            "it cannot be connected to"
        } else if error.is_timeout() {
            "it took too long"
        } else {
            "the connection broke"
        };
        let why = format!("{what} ({cause})");
        if error.is_connect() { UpstreamError::not_sent(why) } else { UpstreamError::unavailable(why) }
    }
}

fn notified(notify: Option<&Notify>, method: &str, params: Option<&RawValue>, message: &Bytes) {
    let Some(notify) = notify else { return };
    match (method, params) {
        ("notifications/progress", Some(params)) => notify.progress(params.get()),
        ("notifications/message", _) => notify.other(message.clone()),
        _ => {}
    }
}
