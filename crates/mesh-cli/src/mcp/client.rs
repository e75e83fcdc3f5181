//! Requests to an MCP server.

use super::{LEGACY, MODERN, VERSIONS};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::http::{self, Events, Reply};
use base64::Engine as _;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;

/// Most pages of a list that are asked for.
const MAX_PAGES: usize = 1000;
/// A modern server does not speak the version it was asked in.
const UNSUPPORTED_VERSION: i64 = -32022;
/// Modern servers have errors of their own; seeing one means that the server is modern.
const MODERN_ERRORS: std::ops::RangeInclusive<i64> = -32029..=-32020;

/// Which generation of the protocol the server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Generation {
    /// Stateless: every request says everything.
    Modern,
    /// After `initialize`, with a session if the server wants one.
    Legacy { version: String, session: Option<HeaderValue> },
}

/// What a request came to.
enum Response {
    Result(Value),
    Error { code: i64, message: String, status: StatusCode },
}

/// Where our gateway names the upstreams whose tools may be missing or old (docs/gateway.md).
const UNAVAILABLE: &str = "agentmesh/unavailable";

/// What a server lists.
#[derive(Default)]
pub(crate) struct ToolList {
    /// The tools, as the server describes them.
    pub(crate) tools: Vec<Value>,
    /// Upstreams of our gateway that do not answer.
    pub(crate) unavailable: Vec<String>,
}

/// A connection to an MCP server.
pub(crate) struct Client {
    http: http::Client,
    url: String,
    generation: Generation,
}

impl Client {
    /// Finds out which generation the server speaks, modern first.
    pub(crate) async fn connect(http: http::Client, url: String) -> Outcome<Self> {
        let mut client = Self { http, url, generation: Generation::Modern };
        match client.request("server/discover", json!({}), http::QUICK).await {
            Ok(Response::Result(_)) => return Ok(client),
            // It is modern, but of another revision; one from before may still do.
            Ok(Response::Error { code: UNSUPPORTED_VERSION, .. }) => {}
            Ok(Response::Error { code, message, status }) if MODERN_ERRORS.contains(&code) => {
                return Err(client.failure(code, &message, status));
            }
            Ok(Response::Error {
                status: status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
                code,
                message,
            }) => {
                return Err(client.failure(code, &message, status));
            }
            Err(error @ http::Error::Transport { .. }) => return Err(error.into()),
            Err(http::Error::Status { status, url, body })
                if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                    || status.is_redirection()
                    || status.is_server_error() =>
            {
                return Err(http::Error::Status { url, status, body }.into());
            }
            // Anything else is how servers of before react to what they do not know.
            Ok(Response::Error { .. }) | Err(_) => {}
        }
        client.initialize().await?;
        Ok(client)
    }

    async fn initialize(&mut self) -> Outcome<()> {
        self.generation = Generation::Legacy { version: LEGACY.to_owned(), session: None };
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": client_info(),
        });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let answer = self.http.post(&self.url, headers, &body, http::QUICK).await?;
        let session = answer.headers.get("mcp-session-id").cloned();
        let result = match self.response(answer.status, answer.reply, &json!(0)).await? {
            Response::Result(result) => result,
            Response::Error { code, message, status } => return Err(self.failure(code, &message, status)),
        };
        let version = result["protocolVersion"].as_str().unwrap_or_default().to_owned();
        if !VERSIONS[1..].contains(&version.as_str()) {
            return Err(Failure::unreachable(format!("{} speaks MCP `{version}`", self.url))
                .hint(format!("agentmesh speaks {}", VERSIONS.join(", "))));
        }
        self.generation = Generation::Legacy { version, session };
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.http.post(&self.url, self.headers("", None)?, &body, http::QUICK).await?;
        Ok(())
    }

    /// All tools, from all pages.
    pub(crate) async fn tools(&self) -> Outcome<ToolList> {
        let mut list = ToolList::default();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let mut page = self.ask("tools/list", params, http::QUICK).await?;
            list.tools.extend(page["tools"].as_array_mut().map(std::mem::take).unwrap_or_default());
            let down = page["_meta"][UNAVAILABLE].as_array().into_iter().flatten();
            list.unavailable.extend(down.filter_map(|id| id.as_str().map(str::to_owned)));
            // An empty cursor is a cursor.
            let next = page["nextCursor"].as_str().map(str::to_owned);
            if next.is_none() {
                return Ok(list);
            }
            if next == cursor {
                break;
            }
            cursor = next;
        }
        Err(Failure::unreachable(format!("the list of tools of {} does not end", self.url)))
    }

    /// Calls a tool: the `CallToolResult` as received.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value, patience: Duration) -> Outcome<Value> {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }), patience).await
    }

    /// Ends the session, if there is one.
    pub(crate) async fn close(self) {
        if let (Generation::Legacy { session: Some(_), .. }, Ok(headers)) =
            (&self.generation, self.headers("", None))
        {
            self.http.delete(&self.url, headers).await;
        }
    }

    async fn ask(&self, method: &str, params: Value, patience: Duration) -> Outcome<Value> {
        match self.request(method, params, patience).await? {
            Response::Result(result) => Ok(result),
            Response::Error { code, message, status } => Err(self.failure(code, &message, status)),
        }
    }

    async fn request(
        &self,
        method: &str,
        mut params: Value,
        patience: Duration,
    ) -> Result<Response, http::Error> {
        if self.generation == Generation::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": client_info(),
            });
        }
        params["_meta"]["traceparent"] = json!(self.http.trace().to_string());
        let headers = self.headers(method, params["name"].as_str())?;
        let id = json!(uuid::Uuid::new_v4().to_string());
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let work = async {
            let answer = self.http.post(&self.url, headers, &body, patience).await?;
            self.response(answer.status, answer.reply, &id).await
        };
        tokio::time::timeout(patience, work).await.map_err(|_| http::Error::Transport {
            url: self.url.clone(),
            why: format!("no answer within {} s", patience.as_secs_f64()),
        })?
    }

    fn headers(&self, method: &str, name: Option<&str>) -> Result<HeaderMap, http::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        match &self.generation {
            Generation::Modern => {
                headers.insert("mcp-protocol-version", HeaderValue::from_static(MODERN));
                headers.insert("mcp-method", self.header(method)?);
                if let Some(name) = name {
                    headers.insert("mcp-name", self.header(name)?);
                }
            }
            Generation::Legacy { version, session } => {
                headers.insert("mcp-protocol-version", self.header(version)?);
                if let Some(session) = session {
                    headers.insert("mcp-session-id", session.clone());
                }
            }
        }
        Ok(headers)
    }

    /// A header value; what cannot stand in a header goes as base64.
    fn header(&self, value: &str) -> Result<HeaderValue, http::Error> {
        let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && value.trim() == value
            && !value.starts_with("=?base64?");
        let text = if plain {
            value.to_owned()
        } else {
            format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(value))
        };
        HeaderValue::from_str(&text)
            .map_err(|error| http::Error::Garbled { url: self.url.clone(), why: error.to_string() })
    }

    async fn response(&self, status: StatusCode, reply: Reply, id: &Value) -> Result<Response, http::Error> {
        let mut response = match reply {
            Reply::Json(value) => value,
            Reply::Events(mut events) => self.response_in(&mut events, id).await?,
            Reply::Empty => return Err(self.garbled("no JSON-RPC response")),
        };
        if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
            return Ok(Response::Error {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or("an error without a message").to_owned(),
                status,
            });
        }
        match response.get_mut("result") {
            Some(result) => Ok(Response::Result(result.take())),
            None => Err(self.garbled("no JSON-RPC response")),
        }
    }

    /// The response among the notifications and requests of a stream.
    async fn response_in(&self, events: &mut Events, id: &Value) -> Result<Value, http::Error> {
        while let Some(event) = events.next().await? {
            if event.data.is_empty() {
                continue; // what a server primes a resumable stream with
            }
            let message: Value = serde_json::from_str(&event.data)
                .map_err(|error| self.garbled(&format!("an event that is no JSON ({error})")))?;
            if message.get("method").is_none() && message["id"] == *id {
                return Ok(message);
            }
        }
        Err(http::Error::Transport {
            url: self.url.clone(),
            why: "the stream ended before the response".to_owned(),
        })
    }

    fn garbled(&self, why: &str) -> http::Error {
        http::Error::Garbled { url: self.url.clone(), why: why.to_owned() }
    }

    fn failure(&self, code: i64, message: &str, status: StatusCode) -> Failure {
        let status = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ExitStatus::Unreachable,
            _ => ExitStatus::Failed,
        };
        Failure::new(status, format!("{}: {message} ({code})", self.url))
    }
}

fn client_info() -> Value {
    json!({ "name": "agentmesh", "version": env!("CARGO_PKG_VERSION") })
}
