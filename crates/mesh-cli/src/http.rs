//! HTTP as all clients here use it: bounded in time and size, never redirected, with trace context.

use crate::exit::Failure;
use crate::sse;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mesh_core::TraceContext;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;

/// Which version of A2A is spoken. Who does not know it ignores it.
const A2A_VERSION: HeaderName = HeaderName::from_static("a2a-version");
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may think about a question that needs no work.
pub(crate) const QUICK: Duration = Duration::from_secs(30);
/// How long a stream may say nothing, not even a comment, before it counts as broken.
const STREAM_IDLE: Duration = Duration::from_secs(300);
/// Largest reply that is read.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// Largest event of a stream; a host's own line limit is 16 MiB by default.
const MAX_EVENT_BYTES: usize = 32 << 20;
/// How much of an unexpected reply is shown.
const EXCERPT: usize = 200;

/// Why there is no usable answer. What the protocol inside says is not its business.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection, or it broke.
    #[error("cannot reach {url}: {why}")]
    Transport {
        /// What was asked.
        url: String,
        /// The innermost cause.
        why: String,
    },
    /// The server answered with an HTTP error and nothing of the protocol.
    #[error("{url} answered {status}{}", excerpt(.body))]
    Status {
        /// What was asked.
        url: String,
        /// What it answered.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what the protocol says.
    #[error("{url} does not answer as expected: {why}")]
    Garbled {
        /// What was asked.
        url: String,
        /// What is wrong.
        why: String,
    },
}

fn excerpt(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

impl Error {
    /// Whether the same request may be answered a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 502..=504),
            Self::Garbled { .. } => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::unreachable(error.to_string());
        match &error {
            Error::Status { status, .. } if status.is_redirection() => {
                failure.hint("name the address it redirects to; agentmesh follows no redirects")
            }
            Error::Status { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                failure.hint("the server wants credentials")
            }
            _ => failure,
        }
    }
}

/// What a server answered to a POST.
pub(crate) enum Reply {
    /// One JSON value.
    Json(Value),
    /// A stream of events.
    Events(Events),
    /// Nothing (202 or 204).
    Empty,
}

/// A reply with what belongs to it.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) reply: Reply,
}

/// An HTTP client with the trace that all its requests belong to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: reqwest::Client,
    trace: TraceContext,
}

impl Client {
    /// A client at the start of a new trace.
    pub(crate) fn new() -> Result<Self, Failure> {
        let inner = reqwest::Client::builder()
            .user_agent(concat!("agentmesh/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::failed(format!("cannot set up HTTP: {}", innermost(&error))))?;
        Ok(Self { inner, trace: TraceContext::root() })
    }

    /// The trace that all requests belong to.
    pub(crate) fn trace(&self) -> TraceContext {
        self.trace
    }

    /// Reads a JSON document.
    pub(crate) async fn get_json(&self, url: &str) -> Result<Value, Error> {
        // Agents that also speak 0.3 say more to who does not ask for 1.0.
        let headers = HeaderMap::from_iter([(A2A_VERSION, HeaderValue::from_static("1.0"))]);
        let answer = self.send(Method::GET, url, headers, None, QUICK).await?;
        match answer.reply {
            Reply::Json(value) if answer.status.is_success() => Ok(value),
            _ => Err(Error::Garbled { url: url.to_owned(), why: "no JSON document".to_owned() }),
        }
    }

    /// Posts a JSON document. `patience` is how long the first byte of the answer may take.
    ///
    /// A JSON-RPC response is returned whatever its HTTP status is: it says more.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: &Value,
        patience: Duration,
    ) -> Result<Answer, Error> {
        self.send(Method::POST, url, headers, Some(body), patience).await
    }

    /// Sends a request and forgets the answer.
    pub(crate) async fn delete(&self, url: &str, headers: HeaderMap) {
        let _ = self.send(Method::DELETE, url, headers, None, Duration::from_secs(2)).await;
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, Error> {
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::from_str(&self.trace.child().to_string()) {
            headers.insert("traceparent", value);
        }
        let mut request = self.inner.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = tokio::time::timeout(patience, request.send())
            .await
            .map_err(|_| transport(url, format!("no answer within {}", seconds(patience))))?
            .map_err(|error| transport(url, innermost(&error)))?;
        answer(url, response, patience).await
    }
}

async fn answer(url: &str, response: reqwest::Response, patience: Duration) -> Result<Answer, Error> {
    let (status, headers) = (response.status(), response.headers().clone());
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type == "text/event-stream" && status.is_success() {
        let events = Events::new(url, response.bytes_stream().boxed());
        return Ok(Answer { status, headers, reply: Reply::Events(events) });
    }
    let body = tokio::time::timeout(patience.max(QUICK), read_all(url, response))
        .await
        .map_err(|_| transport(url, "the answer does not end".to_owned()))??;
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    if body.is_empty() && status.is_success() {
        return Ok(Answer { status, headers, reply: Reply::Empty });
    }
    match serde_json::from_slice(&body) {
        Ok(value) if is_json && (status.is_success() || is_rpc(&value)) => {
            Ok(Answer { status, headers, reply: Reply::Json(value) })
        }
        _ if !status.is_success() => {
            Err(Error::Status { url: url.to_owned(), status, body: short(&String::from_utf8_lossy(&body)) })
        }
        Ok(_) => Err(Error::Garbled { url: url.to_owned(), why: format!("its type is `{media_type}`") }),
        Err(error) => Err(Error::Garbled { url: url.to_owned(), why: format!("no JSON ({error})") }),
    }
}

/// Whether it is a JSON-RPC response, and not what a proxy says in JSON.
fn is_rpc(value: &Value) -> bool {
    value.get("result").is_some() || value["error"]["code"].is_i64()
}

async fn read_all(url: &str, response: reqwest::Response) -> Result<BytesMut, Error> {
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| transport(url, innermost(&error)))?;
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            let why = format!("more than {} MiB", MAX_REPLY_BYTES >> 20);
            return Err(Error::Garbled { url: url.to_owned(), why });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Server-sent events as they come.
pub(crate) struct Events {
    url: String,
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    decoder: sse::Decoder,
}

impl Events {
    fn new(url: &str, chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>) -> Self {
        Self { url: url.to_owned(), chunks, decoder: sse::Decoder::new(MAX_EVENT_BYTES) }
    }

    /// The next event; `None` when the server ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<sse::Event>, Error> {
        loop {
            if let Some(event) = self.decoder.next() {
                return Ok(Some(event));
            }
            let chunk = tokio::time::timeout(STREAM_IDLE, self.chunks.next())
                .await
                .map_err(|_| transport(&self.url, format!("silent for {}", seconds(STREAM_IDLE))))?;
            match chunk {
                None => return Ok(None),
                Some(Err(error)) => return Err(transport(&self.url, innermost(&error))),
                Some(Ok(chunk)) => {
                    self.decoder.push(&chunk).map_err(|sse::TooLarge(limit)| Error::Garbled {
                        url: self.url.clone(),
                        why: format!("an event of more than {limit} bytes"),
                    })?
                }
            }
        }
    }
}

/// Reads an address that a person wrote.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{text}` is not an http:// or https:// URL"));
    }
    Ok(url)
}

fn transport(url: &str, why: String) -> Error {
    Error::Transport { url: url.to_owned(), why }
}

/// The innermost cause says what happened; the layers above only say that something did.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn short(text: &str) -> String {
    crate::output::shorten(&crate::output::one_line(text), EXCERPT)
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
