//! A server that follows a script: a gateway with one agent, `sales`, and with tools.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) http_method: Method,
    pub(crate) headers: HeaderMap,
    /// The JSON-RPC method.
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) id: Value,
    /// How many requests with this method came before.
    pub(crate) nth: usize,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A piece of a stream.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// Bytes as they are.
    Text(String),
    /// The connection breaks.
    Cut,
    /// Nothing more, and no end.
    Hang,
}

/// What the script answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A JSON-RPC response.
    Rpc(Value),
    /// A JSON-RPC response with this HTTP status and these headers.
    Http(u16, Vec<(&'static str, String)>, Value),
    /// A stream.
    Stream(Vec<Frame>),
    /// No body.
    Empty(u16),
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

struct Shared {
    url: String,
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
    card: Mutex<Value>,
    keys: Mutex<Value>,
}

/// The running server.
pub(crate) struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Starts one that answers every POST by the script.
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let interface = json!({
            "url": format!("{url}/a2a"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "blue",
        });
        let card = json!({
            "name": "Sales", "supportedInterfaces": [interface], "capabilities": {"streaming": true},
        });
        let shared = Arc::new(Shared {
            url,
            script: Box::new(script),
            calls: Mutex::default(),
            card: Mutex::new(card),
            keys: Mutex::new(json!({ "keys": [] })),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { shared }
    }

    pub(crate) fn url(&self) -> &str {
        &self.shared.url
    }

    /// Changes the agent's card.
    pub(crate) fn set_card(&self, card: Value) {
        *self.shared.card.lock().unwrap() = card;
    }

    /// Changes the keys that the server publishes.
    pub(crate) fn set_keys(&self, keys: Value) {
        *self.shared.keys.lock().unwrap() = keys;
    }

    /// All POSTs so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The methods of all POSTs so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.method).collect()
    }

    /// A text with this server's address replaced.
    pub(crate) fn redact(&self, text: &dyn std::fmt::Display) -> String {
        text.to_string().replace(&self.shared.url, "http://SERVER")
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    http_method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if http_method == Method::GET {
        return get(&shared, uri.path());
    }
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = {
        let mut calls = shared.calls.lock().unwrap();
        let method = body["method"].as_str().unwrap_or_default().to_owned();
        let nth = calls.iter().filter(|call| call.method == method).count();
        let path = uri.path().to_owned();
        let call = Call {
            path,
            http_method,
            headers,
            method,
            params: body["params"].take(),
            id: body["id"].take(),
            nth,
        };
        calls.push(call.clone());
        call
    };
    reply(&call, (shared.script)(&call))
}

fn get(shared: &Shared, path: &str) -> Response<Body> {
    let body = match path {
        "/agents" => json!({"agents": [{
            "name": "sales", "url": format!("{}/agents/sales", shared.url), "description": "Writes proposals",
            "skills": [{"id": "proposal", "name": "Proposals"}], "card_url": "/card.json",
        }]}),
        "/card.json" | "/.well-known/agent-card.json" => shared.card.lock().unwrap().clone(),
        "/.well-known/jwks.json" => shared.keys.lock().unwrap().clone(),
        _ => return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
    };
    Response::builder().header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

fn reply(call: &Call, reply: Reply) -> Response<Body> {
    let with_id = |mut response: Value| {
        response["jsonrpc"] = json!("2.0");
        response["id"] = call.id.clone();
        Body::from(response.to_string())
    };
    let json = Response::builder().header("content-type", "application/json");
    match reply {
        Reply::Rpc(response) => json.body(with_id(response)).unwrap(),
        Reply::Http(status, headers, response) => headers
            .into_iter()
            .fold(json.status(status), |builder, (name, value)| builder.header(name, value))
            .body(with_id(response))
            .unwrap(),
        Reply::Empty(status) => Response::builder().status(status).body(Body::empty()).unwrap(),
        Reply::Stream(frames) => {
            let hangs = frames.iter().any(|frame| matches!(frame, Frame::Hang));
            let id = call.id.to_string();
            let frames = futures_util::stream::iter(frames).filter_map(move |frame| {
                let id = id.clone();
                async move {
                    match frame {
                        Frame::Text(text) => Some(Ok(text.replace("\"ID\"", &id))),
                        Frame::Cut => {
                            // Waiting once lets what came before leave.
                            tokio::task::yield_now().await;
                            Some(Err("cut"))
                        }
                        Frame::Hang => None,
                    }
                }
            });
            let body = if hangs {
                Body::from_stream(frames.chain(futures_util::stream::pending()))
            } else {
                Body::from_stream(frames)
            };
            Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
        }
    }
}

/// A JSON-RPC result.
pub(crate) fn result(value: Value) -> Reply {
    Reply::Rpc(json!({ "result": value }))
}

/// A JSON-RPC error.
pub(crate) fn error(code: i64, message: &str) -> Reply {
    Reply::Rpc(json!({ "error": { "code": code, "message": message } }))
}

/// A `StreamResponse` with its number.
pub(crate) fn event(seq: impl Into<Option<u64>>, value: Value) -> Frame {
    let id = seq.into().map(|seq| format!("id: {seq}\n")).unwrap_or_default();
    Frame::Text(format!("{id}data: {}\n\n", json!({ "jsonrpc": "2.0", "id": "ID", "result": value })))
}

/// Events numbered from `first`.
pub(crate) fn frames(first: u64, values: &[Value]) -> Vec<Frame> {
    (first..).zip(values).map(|(seq, value)| event(seq, value.clone())).collect()
}

/// A task in a state.
pub(crate) fn task(state: &str) -> Value {
    json!({
        "id": "t-1", "contextId": "c-1",
        "status": {"state": format!("TASK_STATE_{state}"), "timestamp": "2026-11-22T14:02:11.120Z"},
    })
}

/// A status update.
pub(crate) fn status(state: &str, text: &str) -> Value {
    let mut status = json!({
        "state": format!("TASK_STATE_{state}"), "timestamp": "2026-11-22T14:02:11.123Z",
    });
    if !text.is_empty() {
        status["message"] = json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": text}]});
    }
    json!({"statusUpdate": {"taskId": "t-1", "contextId": "c-1", "status": status}})
}

/// A piece of the artifact `response`.
pub(crate) fn text_chunk(text: &str) -> Value {
    json!({"artifactUpdate": {
        "taskId": "t-1", "contextId": "c-1", "append": true,
        "artifact": {"artifactId": "response", "parts": [{"text": text}]},
    }})
}
