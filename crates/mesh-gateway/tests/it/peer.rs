//! A small MCP server of either generation that asks its client in the middle of a call, and has prompts and resources.

use crate::support::{MODERN, serve};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// The server, and what it saw.
pub(crate) struct Peer {
    modern: bool,
    pub(crate) seen: Mutex<Vec<(Method, HeaderMap, Value)>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    sessions: Mutex<Vec<String>>,
}

impl Peer {
    pub(crate) async fn start(modern: bool) -> (Arc<Self>, String) {
        let peer = Arc::new(Self {
            modern,
            seen: Mutex::default(),
            waiting: Mutex::default(),
            sessions: Mutex::default(),
        });
        let url = serve(axum::Router::new().fallback(answer).with_state(Arc::clone(&peer))).await;
        (peer, format!("{url}/mcp"))
    }

    pub(crate) fn seen(&self, method: &str) -> Vec<(HeaderMap, Value)> {
        let seen = self.seen.lock().unwrap();
        let matching = seen.iter().filter(|(_, _, body)| body["method"] == method);
        matching.map(|(_, headers, body)| (headers.clone(), body.clone())).collect()
    }

    /// Sessions that were opened and not deleted.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.lock().unwrap().len()
    }

    pub(crate) fn forget_sessions(&self) {
        self.sessions.lock().unwrap().clear();
    }

    fn result(&self, method: &str, params: &Value) -> Option<Value> {
        let capabilities = json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true}, "completions": {}, "logging": {}});
        let info = json!({"name": "peer", "version": "7"});
        Some(match method {
            "server/discover" if self.modern => json!({
                "supportedVersions": [MODERN], "capabilities": capabilities, "instructions": "Be kind.",
                "_meta": {"io.modelcontextprotocol/serverInfo": info},
            }),
            "initialize" if !self.modern => json!({
                "protocolVersion": "2025-06-18", "capabilities": capabilities, "instructions": "Be kind.",
                "serverInfo": info,
            }),
            "tools/list" => json!({"tools": [
                {"name": "ask", "inputSchema": {"type": "object"}}, {"name": "plain", "inputSchema": {"type": "object"}},
                {"name": "large", "inputSchema": {"type": "object"}}, {"name": "hang", "inputSchema": {"type": "object"}},
            ]}),
            "prompts/list" => json!({"prompts": [{"name": "greet", "x-odd": 1.0}]}),
            "resources/list" => json!({"resources": [{"uri": "note://a", "name": "a"}]}),
            "resources/templates/list" => {
                json!({"resourceTemplates": [{"uriTemplate": "note://{id}", "name": "n"}]})
            }
            "prompts/get" => json!({"messages": [], "got": params["name"]}),
            "resources/read" => json!({"contents": [{"uri": params["uri"], "text": "t"}]}),
            "completion/complete" => json!({"completion": {"values": [params["ref"].to_string()]}}),
            "resources/subscribe" | "logging/setLevel" | "ping" => json!({}),
            "tools/call" if params["name"] == "plain" => json!({"content": [], "params": params}),
            "tools/call" if params["name"] == "large" => {
                json!({"content": [{"type": "text", "text": "x".repeat(2 << 20)}]})
            }
            _ => return None,
        })
    }
}

fn reply(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

async fn answer(State(peer): State<Arc<Peer>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    peer.seen.lock().unwrap().push((parts.method.clone(), parts.headers.clone(), message.clone()));
    let session = parts.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let method = message["method"].as_str().unwrap_or_default();
    if parts.method == Method::DELETE {
        peer.sessions.lock().unwrap().retain(|known| Some(known) != session.as_ref());
        return reply(204, "text/plain", "");
    }
    if parts.method != Method::POST {
        return reply(405, "text/plain", "");
    }
    if !peer.modern && method != "initialize" && method != "server/discover" {
        let known = session.as_ref().is_some_and(|id| peer.sessions.lock().unwrap().contains(id));
        if !known {
            return reply(404, "text/plain", "");
        }
    }
    if message["id"].is_null() || method.is_empty() {
        if let Some(waiting) = message["id"].as_str().and_then(|id| peer.waiting.lock().unwrap().remove(id)) {
            let _ = waiting.send(message);
        }
        return reply(202, "text/plain", "");
    }
    if method == "tools/call" && message["params"]["name"] == "hang" {
        std::future::pending::<()>().await;
    }
    if method == "tools/call" && message["params"]["name"] == "ask" {
        return if peer.modern { ask_by_result(&message) } else { ask_on_stream(&peer, &message) };
    }
    let id = &message["id"];
    match peer.result(method, &message["params"]) {
        None => {
            let error = json!({"code": -32601, "message": "no"});
            reply(200, "application/json", json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
        }
        Some(mut result) => {
            if peer.modern {
                result["resultType"] = "complete".into();
            }
            let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
            let mut response = reply(200, "application/json", body);
            if method == "initialize" {
                let mut sessions = peer.sessions.lock().unwrap();
                let id = format!("s-{}", peer.seen.lock().unwrap().len());
                response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
                sessions.push(id);
            }
            response
        }
    }
}

fn ask_by_result(message: &Value) -> Response {
    let (id, params) = (&message["id"], &message["params"]);
    let result = match params["requestState"].as_str() {
        None => json!({
            "resultType": "input_required", "requestState": "opaque-1",
            "inputRequests": {"k": {"method": "elicitation/create", "params": {"message": "who?", "n": 1.50}}},
        }),
        Some(state) => json!({
            "resultType": "complete", "content": [], "state": state, "answers": params["inputResponses"],
        }),
    };
    reply(200, "application/json", json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

fn ask_on_stream(peer: &Arc<Peer>, message: &Value) -> Response {
    let (send, events) = mpsc::channel::<Value>(4);
    let (id, peer) = (message["id"].clone(), Arc::clone(peer));
    tokio::spawn(async move {
        let (answer, answered) = oneshot::channel();
        let own = format!("q-{id}");
        peer.waiting.lock().unwrap().insert(own.clone(), answer);
        let params = json!({"message": "who?", "n": 1.50});
        send.send(json!({"jsonrpc": "2.0", "id": own, "method": "elicitation/create", "params": params}))
            .await
            .ok();
        let Ok(answer) = answered.await else { return };
        let result = json!({"content": [], "answers": {"k": answer["result"], "error": answer["error"]}});
        send.send(json!({"jsonrpc": "2.0", "id": id, "result": result})).await.ok();
    });
    let events = futures_util::stream::unfold(events, async |mut events| {
        let event = events.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("data: {event}\n\n"))), events))
    });
    reply(200, "text/event-stream", Body::from_stream(events.boxed()))
}
