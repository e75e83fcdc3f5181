//! Tools: MCP, revision 2026-07-28, at the gateway's `/mcp/{upstream}`, where tools keep their own names.

use super::gateway::{CallSpan, GatewayCalls};
use super::{CallError, CallErrorCode};
use crate::worker::protocol::ToolEntry;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::time::Duration;

const REVISION: &str = "2026-07-28";
/// Pages of a tool list that are read at most.
const PAGES: usize = 64;
/// How long the gateway may take to list an upstream's tools.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u32,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct CallParams<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta")]
    meta: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolPage {
    #[serde(default)]
    tools: Vec<ListedTool>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedTool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: serde_json::Value,
}

/// What revision 2026-07-28 wants in every request's `_meta`.
fn meta(traceparent: Option<&str>) -> serde_json::Value {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "agentmesh-host", "version": env!("CARGO_PKG_VERSION") },
    });
    if let Some(traceparent) = traceparent {
        meta["traceparent"] = traceparent.into();
    }
    meta
}

impl GatewayCalls {
    fn mcp(&self, upstream: &str, method: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}/mcp/{upstream}", self.settings.gateway_url))
            .header(http::header::CONTENT_TYPE, "application/json")
            // Without event streams: nobody here would take the notifications of a call.
            .header(http::header::ACCEPT, "application/json")
            .header("mcp-protocol-version", REVISION)
            .header("mcp-method", method)
            .header("agentmesh-agent", self.settings.name.as_str())
            .header("agentmesh-tenant", self.settings.caller.tenant.as_str())
    }

    /// The tools that the configuration grants, as the upstreams describe them. A granted tool that is not there is an
    /// error: the worker would miss it.
    pub(super) async fn list_tools(&self) -> Result<Vec<ToolEntry>, CallError> {
        let granted = &self.settings.agent.tools;
        let upstreams: BTreeSet<&str> = granted.iter().map(|pattern| pattern.upstream.as_str()).collect();
        let mut entries = Vec::new();
        for upstream in upstreams {
            let tools = self.list_upstream(upstream).await?;
            entries.extend(
                tools
                    .into_iter()
                    .filter(|tool| granted.iter().any(|pattern| pattern.matches(upstream, &tool.name)))
                    .map(|tool| ToolEntry {
                        name: format!("{upstream}/{}", tool.name),
                        description: tool.description.unwrap_or_default(),
                        input_schema: tool.input_schema,
                    }),
            );
        }
        for pattern in granted {
            let found = entries.iter().any(|entry| {
                entry.name.split_once('/').is_some_and(|(upstream, tool)| pattern.matches(upstream, tool))
            });
            if !found {
                let message =
                    format!("the tool {pattern}, which agent {} is to use, is not there", self.settings.name);
                return Err(CallError::new(CallErrorCode::NotFound, message));
            }
        }
        Ok(entries)
    }

    async fn list_upstream(&self, upstream: &str) -> Result<Vec<ListedTool>, CallError> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for page in 0..PAGES {
            let mut params = json!({ "_meta": meta(None) });
            if let Some(cursor) = &cursor {
                params["cursor"] = cursor.as_str().into();
            }
            let id = u32::try_from(page).unwrap_or(0);
            let request = self.mcp(upstream, "tools/list").timeout(LIST_TIMEOUT).json(&Request {
                jsonrpc: "2.0",
                id,
                method: "tools/list",
                params,
            });
            let peer = format!("the tool server {upstream}");
            let result = self.fetch(request, &peer).await?.result(&peer)?;
            let page: ToolPage = serde_json::from_str(result.get()).map_err(|error| {
                CallError::new(CallErrorCode::Failed, format!("{peer} lists its tools wrongly: {error}"))
            })?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    pub(super) async fn call_tool(
        &self,
        call: &CallSpan<'_>,
        arguments: Option<&RawValue>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        let Some((upstream, tool)) = call.target.split_once('/') else {
            return Err(CallError::invalid("a tool is named upstream/tool"));
        };
        if !self.settings.agent.tools.iter().any(|pattern| pattern.matches(upstream, tool)) {
            let message = format!("agent {} may not call tool {}", self.settings.name, call.target);
            return Err(CallError::new(CallErrorCode::NotAllowed, message));
        }
        let traceparent = call.context.to_string();
        let params = CallParams { name: tool, arguments, meta: meta(Some(&traceparent)) };
        let mut request = self
            .mcp(upstream, "tools/call")
            .header("mcp-name", tool)
            .header("traceparent", &traceparent)
            .header("agentmesh-task", call.scope.task.as_str())
            .json(&Request { jsonrpc: "2.0", id: 1, method: "tools/call", params });
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        self.fetch(request, &format!("tool {}", call.target)).await?.result(call.target)
    }
}
