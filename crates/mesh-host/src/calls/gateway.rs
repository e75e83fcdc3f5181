//! The way from a host to its gateway, and the JSON-RPC exchange that both kinds of call share.

use super::withdraw::WITHDRAWALS;
use super::{CallError, CallErrorCode, Calls, DiscoverCall};
use crate::settings::HostSettings;
use crate::worker::CallScope;
use crate::worker::protocol::{PeerEntry, ToolEntry};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use mesh_core::Clock;
use mesh_core::model::Part;
use mesh_core::trace::{Span, SpanKind, Tracer};
use mesh_log::EventLog;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the listeners' time for an idle connection, so that a reused one is not just being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Calls that go through the gateway.
#[derive(Clone)]
pub(crate) struct GatewayCalls {
    pub(super) client: reqwest::Client,
    pub(super) settings: Arc<HostSettings>,
    pub(super) tracer: Tracer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) withdrawals: Arc<Semaphore>,
}

/// A JSON-RPC answer, its parts untouched.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    #[serde(default)]
    message: String,
}

impl GatewayCalls {
    pub(crate) fn new(
        settings: Arc<HostSettings>,
        tracer: Tracer,
        clock: Arc<dyn Clock>,
        log: Arc<dyn EventLog>,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let withdrawals = Arc::new(Semaphore::new(WITHDRAWALS));
        Ok(Self { client, settings, tracer, clock, log, withdrawals })
    }

    /// Sends a request and reads its answer, at most `limits.tool_result` bytes of it.
    pub(super) async fn fetch(
        &self,
        request: reqwest::RequestBuilder,
        peer: &str,
    ) -> Result<Reply, CallError> {
        let unavailable = |error: reqwest::Error| {
            let code = if error.is_timeout() { CallErrorCode::Timeout } else { CallErrorCode::Unavailable };
            tracing::warn!(peer, error = %error, "a call could not be sent");
            CallError::new(code, format!("{peer} cannot be reached"))
        };
        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let is_stream = response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let limit = usize::try_from(self.settings.limits.tool_result).unwrap_or(usize::MAX);
        let mut body = BytesMut::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| {
                tracing::warn!(peer, error = %error, "an answer broke off");
                CallError::new(CallErrorCode::Unavailable, format!("the answer of {peer} broke off"))
            })?;
            if body.len() + chunk.len() > limit {
                let message = format!("the answer of {peer} is over {limit} bytes (limits.tool_result)");
                return Err(CallError::new(CallErrorCode::Failed, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body: body.freeze(), is_stream })
    }

    /// Records the span of a call.
    pub(super) fn span(
        &self,
        name: &'static str,
        call: &CallSpan<'_>,
        outcome: &Result<Box<RawValue>, CallError>,
    ) {
        self.tracer.record(|| Span {
            context: call.context,
            parent: Some(call.scope.trace.span_id),
            name,
            kind: SpanKind::Client,
            start: call.start,
            end: self.clock.now(),
            attributes: vec![
                ("agentmesh.agent", self.settings.name.to_string()),
                ("agentmesh.tenant", call.scope.owner.tenant.to_string()),
                ("agentmesh.task", call.scope.task.to_string()),
                ("agentmesh.target", call.target.to_owned()),
            ],
            error: outcome.as_ref().err().map(|error| error.code.as_str().to_owned()),
        });
    }
}

/// What the span of a call is made of.
pub(super) struct CallSpan<'a> {
    pub(super) context: mesh_core::TraceContext,
    pub(super) scope: &'a CallScope,
    pub(super) start: mesh_core::Timestamp,
    pub(super) target: &'a str,
}

/// An HTTP answer, read to its end.
pub(super) struct Reply {
    pub(super) status: http::StatusCode,
    pub(super) body: Bytes,
    is_stream: bool,
}

impl Reply {
    /// The `result` of the JSON-RPC answer; of a stream, the one message that is an answer.
    pub(super) fn result(&self, peer: &str) -> Result<Box<RawValue>, CallError> {
        let text = if self.is_stream { last_answer(&self.body) } else { self.body.clone() };
        let answer: Answer<'_> = serde_json::from_slice(&text).map_err(|_| {
            CallError::new(CallErrorCode::Failed, format!("{peer} answered {} without JSON-RPC", self.status))
        })?;
        match (answer.result, answer.error) {
            (Some(result), None) => Ok(result.to_owned()),
            (_, Some(error)) => Err(CallError::new(error_code(error.code), error.message)),
            (None, None) => Err(CallError::new(
                CallErrorCode::Failed,
                format!("{peer} answered neither result nor error"),
            )),
        }
    }
}

/// What a JSON-RPC error code means to a worker. Those from -31400 on are our gateway's (docs/gateway.md).
fn error_code(code: i64) -> CallErrorCode {
    match code {
        -32602 | -32600 => CallErrorCode::Invalid,
        -32601 | -32001 => CallErrorCode::NotFound,
        -32050 | -31429 => CallErrorCode::Busy,
        -31403 => CallErrorCode::NotAllowed,
        -31503 => CallErrorCode::Unavailable,
        -31504 => CallErrorCode::Timeout,
        _ => CallErrorCode::Failed,
    }
}

/// The data of the last event of an SSE body that carries a result or an error.
fn last_answer(body: &Bytes) -> Bytes {
    let mut answer = Bytes::new();
    for line in body.split(|byte| *byte == b'\n') {
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let is_answer = serde_json::from_slice::<Answer<'_>>(data.trim_ascii())
            .is_ok_and(|answer| answer.result.is_some() || answer.error.is_some());
        if is_answer {
            answer = body.slice_ref(data.trim_ascii());
        }
    }
    answer
}

#[async_trait]
impl Calls for GatewayCalls {
    async fn tools(&self) -> Result<Vec<ToolEntry>, CallError> {
        self.list_tools().await
    }

    async fn agents(&self) -> Result<Vec<PeerEntry>, CallError> {
        self.list_peers().await
    }

    async fn tool(
        &self,
        scope: &CallScope,
        name: &str,
        arguments: Option<&RawValue>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        let call = CallSpan { context: scope.trace.child(), scope, start: self.clock.now(), target: name };
        let outcome = self.call_tool(&call, arguments, timeout).await;
        self.span("mcp tools/call", &call, &outcome);
        outcome
    }

    async fn discover(
        &self,
        scope: &CallScope,
        call: &DiscoverCall,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        self.discover_tools(scope, call, timeout).await
    }

    async fn agent(
        &self,
        scope: &CallScope,
        name: &str,
        parts: Vec<Part>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        let call = CallSpan { context: scope.trace.child(), scope, start: self.clock.now(), target: name };
        let outcome = self.call_agent(&call, parts, timeout).await;
        self.span("a2a SendMessage", &call, &outcome);
        outcome
    }
}
