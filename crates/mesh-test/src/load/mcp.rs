//! Tool calls over MCP's streamable HTTP.

use super::connection::{Connection, Target, begin, whole_body};
use super::drive::Sample;
use super::sse::SseReader;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// Which generation of the protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum McpRevision {
    /// `initialize` once for each connection.
    #[value(name = "2025-11-25")]
    Legacy,
    /// Stateless.
    #[value(name = "2026-07-28")]
    Modern,
}

/// Tool calls to send.
#[derive(Clone, Debug)]
pub struct McpCalls {
    /// The MCP endpoint.
    pub url: String,
    /// More headers, `Name: value`.
    pub headers: Vec<String>,
    /// The tool; `None` lists tools instead.
    pub tool: Option<String>,
    /// Its arguments.
    pub arguments: Value,
    /// What the result must contain, as text of its JSON.
    pub expect: Option<String>,
    /// Which protocol.
    pub revision: McpRevision,
}

/// The calls of one run.
pub(super) struct McpClient {
    target: Target,
    method: &'static str,
    calls: McpCalls,
    params: String,
    next: AtomicU64,
}

impl McpClient {
    pub(super) fn new(calls: &McpCalls) -> Result<Self, String> {
        let mut target =
            Target::new(&calls.url, &calls.headers)?.with("accept", "application/json, text/event-stream")?;
        let (method, mut params) = match &calls.tool {
            Some(tool) => ("tools/call", json!({"name": tool, "arguments": calls.arguments})),
            None => ("tools/list", json!({})),
        };
        if calls.revision == McpRevision::Modern {
            target = target.with("mcp-protocol-version", "2026-07-28")?.with("mcp-method", method)?;
            if let Some(tool) = &calls.tool {
                target = target.with("mcp-name", tool)?;
            }
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "mesh-load", "version": "0.1.0"},
            });
        }
        Ok(Self { target, method, calls: calls.clone(), params: params.to_string(), next: AtomicU64::new(1) })
    }

    /// Opens a connection's session, if the protocol has sessions.
    pub(super) async fn session(&self, connection: &mut Connection) -> Result<McpSession<'_>, String> {
        let mut target = self.target.clone();
        if self.calls.revision == McpRevision::Legacy {
            let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "mesh-load", "version": "0.1.0"},
            }});
            let response = connection.post(&target, Bytes::from(initialize.to_string())).await?;
            let session = response.headers().get("mcp-session-id").cloned();
            result_of(&whole_body(response).await?)?;
            target = target.with("mcp-protocol-version", "2025-11-25")?;
            if let Some(session) = session {
                target = target.with("mcp-session-id", session.to_str().map_err(|e| e.to_string())?)?;
            }
            let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
            whole_body(connection.post(&target, Bytes::from(initialized)).await?).await?;
        }
        Ok(McpSession { client: self, target })
    }
}

/// One connection's view of the server.
pub(super) struct McpSession<'a> {
    client: &'a McpClient,
    target: Target,
}

impl McpSession<'_> {
    pub(super) async fn call(&self, connection: &mut Connection) -> Result<Sample, String> {
        let start = Instant::now();
        let McpClient { method, params, next, calls, .. } = self.client;
        let id = next.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let response = connection.post(&self.target, Bytes::from(body)).await?;
        let body = whole_body(response).await?;
        let result = result_of(&body)?;
        if let Some(expected) = &calls.expect
            && !result.contains(expected.as_str())
        {
            return Err(format!("`{expected}` is not in the result: {}", begin(result.as_bytes())));
        }
        Ok(Sample { latency: start.elapsed(), first_event: None, events: 0 })
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToolResult {
    #[serde(default, rename = "isError")]
    is_error: bool,
}

/// The result in an answer, be it plain JSON or the last message of an event stream.
fn result_of(body: &[u8]) -> Result<String, String> {
    let mut reader = SseReader::default();
    let last = if body.trim_ascii_start().starts_with(b"{") {
        body.to_vec()
    } else {
        reader.push(body);
        std::iter::from_fn(|| reader.next_event()).last().unwrap_or_default()
    };
    let answer: Answer<'_> = serde_json::from_slice(&last).map_err(|e| format!("{e}: {}", begin(body)))?;
    let result = match (answer.id, answer.result, answer.error) {
        (Some(_), Some(result), None) => result.get(),
        _ => return Err(begin(&last)),
    };
    let tool: ToolResult = serde_json::from_str(result).map_err(|e| format!("{e}: {}", begin(&last)))?;
    if tool.is_error { Err(format!("the tool failed: {}", begin(&last))) } else { Ok(result.to_owned()) }
}
