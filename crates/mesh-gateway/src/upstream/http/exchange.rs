//! Requests to a server over HTTP, and what comes back first.

use super::answer::{self, Question};
use super::link::{Body, Pool};
use super::session::HttpSession;
use super::socket::Address;
use crate::settings::Settings;
use crate::upstream::{Answer, Outgoing, UpstreamError};
use crate::wire::{header, header_value};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use std::sync::Arc;
use std::time::Duration;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Answer),
    /// The server does not know the session (any more).
    Forgotten,
}

/// The answer to `initialize`.
#[derive(Debug)]
pub(super) enum Welcome {
    Answer(Answer, Option<HeaderValue>),
    /// Refused with a status of the kind 4xx and no message: no server of this transport.
    Stranger(StatusCode),
}

/// The HTTP side of one server.
pub(crate) struct Exchange {
    pub(super) upstream: Arc<str>,
    pool: Arc<Pool>,
    headers: HeaderMap,
    pub(super) max_result: usize,
    /// How long an answer that has begun may make no progress.
    pub(super) idle: Duration,
}

impl Exchange {
    pub(crate) fn new<'a>(
        upstream: Arc<str>,
        url: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        settings: &Settings,
    ) -> Result<Self, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value).ok());
            let (name, mut value) = parsed.ok_or_else(|| format!("header `{name}` is not valid"))?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        let address = Address::parse(url, settings.connect_timeout)?;
        let pool = Arc::new(Pool::new(address, settings.limits.idle_connections));
        Ok(Self {
            upstream,
            pool,
            headers: map,
            max_result: settings.limits.result,
            idle: settings.idle_timeout,
        })
    }

    pub(crate) fn address(&self) -> &Address {
        self.pool.address()
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(
        self: &Arc<Self>,
        session: &Arc<HttpSession>,
        outgoing: &Outgoing<'_>,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Reply, UpstreamError> {
        let response = self.post(session, Some(outgoing), body).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.id.is_some() {
            return Ok(Reply::Forgotten);
        }
        match answer::read(self, session, response, &Question::of(outgoing, id)).await? {
            Some(answer) => Ok(Reply::Answer(answer)),
            None => Err(UpstreamError::unavailable(format!("HTTP {status} without an answer"))),
        }
    }

    /// Like `call`, but a status or body that a legacy server may answer the unknown with is `None`.
    pub(super) async fn probe(
        self: &Arc<Self>,
        session: &Arc<HttpSession>,
        outgoing: &Outgoing<'_>,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Option<Answer>, UpstreamError> {
        let response = self.post(session, Some(outgoing), body).await?;
        match answer::read(self, session, response, &Question::own(id)).await {
            Err(UpstreamError::BadAnswer(_)) => Ok(None),
            answer => answer,
        }
    }

    /// `initialize`: the answer, and the session id that came with it.
    pub(super) async fn initialize(
        self: &Arc<Self>,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Welcome, UpstreamError> {
        let response = self.send(self.message(body)).await?;
        let status = response.status();
        let session_id = response.headers().get(header::SESSION_ID).cloned();
        let session = Arc::new(HttpSession::modern());
        match answer::read(self, &session, response, &Question::own(id)).await? {
            Some(answer) => Ok(Welcome::Answer(answer, session_id)),
            None if status.is_client_error() => Ok(Welcome::Stranger(status)),
            None => Err(UpstreamError::unavailable(format!("HTTP {status} to `initialize`"))),
        }
    }

    /// Sends a notification, or an answer to a question of the server.
    pub(super) async fn tell(&self, session: &HttpSession, message: Vec<u8>) -> Result<(), UpstreamError> {
        let response = self.post(session, None, message).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.id.is_some() {
            return Err(UpstreamError::SessionLost);
        }
        if !status.is_success() {
            tracing::debug!(upstream = &*self.upstream, %status, "a notification was not taken");
        }
        response.into_body().drain();
        Ok(())
    }

    /// Opens the stream of a session, from the beginning or after an event.
    pub(super) async fn get(
        &self,
        session: &HttpSession,
        after: Option<&Bytes>,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut request = self.request(Method::GET, Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, EVENTS);
        session.write(headers);
        if let Some(id) = after.and_then(|id| HeaderValue::from_bytes(id).ok()) {
            headers.insert(header::LAST_EVENT_ID, id);
        }
        self.send(request).await
    }

    /// Ends a session.
    pub(super) async fn delete(&self, session: &HttpSession) -> Result<(), UpstreamError> {
        if session.id.is_none() {
            return Ok(());
        }
        let mut request = self.request(Method::DELETE, Bytes::new());
        session.write(request.headers_mut());
        self.send(request).await?.into_body().drain();
        Ok(())
    }

    /// A request with what every request has.
    pub(crate) fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        let address = self.pool.address();
        *request.method_mut() = method;
        *request.uri_mut() = address.path.clone();
        let headers = request.headers_mut();
        headers.reserve(16);
        headers.insert(HOST, address.authority.clone());
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        request
    }

    /// A POST that carries a message.
    pub(crate) fn message(&self, message: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = self.request(Method::POST, message.into());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, JSON_OR_EVENTS);
        request
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, UpstreamError> {
        let sent = self.pool.send(request).await;
        if let Err(error) = &sent {
            tracing::debug!(upstream = &*self.upstream, %error, "request failed");
        }
        sent
    }

    pub(super) async fn post(
        &self,
        session: &HttpSession,
        outgoing: Option<&Outgoing<'_>>,
        body: Vec<u8>,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut request = self.message(body);
        let headers = request.headers_mut();
        session.write(headers);
        if let Some(outgoing) = outgoing {
            if let Ok(trace) = HeaderValue::try_from(outgoing.trace.to_string()) {
                headers.insert(header::TRACEPARENT, trace);
            }
            if let Some(state) = &outgoing.tracestate {
                headers.insert(header::TRACESTATE, state.clone());
            }
            if session.revision.is_modern() {
                describe(headers, outgoing)?;
            }
        }
        self.send(request).await
    }
}

/// What a modern server wants to find in the headers.
fn describe(headers: &mut HeaderMap, outgoing: &Outgoing<'_>) -> Result<(), UpstreamError> {
    let invalid = |_| UpstreamError::bad_answer("the request cannot be described in HTTP headers");
    headers.insert(header::METHOD, HeaderValue::from_str(outgoing.method).map_err(invalid)?);
    if let Some(name) = outgoing.name {
        headers.insert(header::NAME, HeaderValue::from_str(&header_value::encode(name)).map_err(invalid)?);
    }
    for (name, value) in &outgoing.param_headers {
        headers.append(name, value.clone());
    }
    Ok(())
}
