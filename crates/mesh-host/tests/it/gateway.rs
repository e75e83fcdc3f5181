//! As much of a gateway, and of one peer behind it, as a host needs.

use crate::support::settings;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Router, body::Body};
use http::{HeaderMap, Response, StatusCode};
use mesh_config::ToolPattern;
use mesh_host::HostSettings;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) struct Gateway {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<Value>>,
    open: AtomicUsize,
    away: AtomicBool,
    canceled: Mutex<Vec<Value>>,
    url: Mutex<String>,
}

/// Counts a call for as long as it is open.
struct Open(Arc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen { url: Mutex::new(url.clone()), ..Seen::default() });
        let router = Router::new()
            .route("/mcp/crm", post(mcp))
            .route("/agents", get(directory))
            .route("/tools", get(tools))
            .route("/.well-known/agent-card.json", get(card))
            .route("/", post(peer))
            .with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    /// An agent that may use everything here.
    pub(crate) fn settings(&self) -> HostSettings {
        let mut settings = settings();
        settings.gateway_url = self.url.clone();
        settings.agent.tools = vec![ToolPattern { upstream: "crm".to_owned(), tool: Some("get".to_owned()) }];
        settings.agent.peers = vec!["marketing".to_owned()];
        settings
    }

    /// What was asked, oldest first.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.seen.calls.lock().unwrap().clone()
    }

    /// Calls that are open.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }

    /// The tasks that the peer was asked to cancel.
    pub(crate) fn canceled(&self) -> Vec<Value> {
        self.seen.canceled.lock().unwrap().clone()
    }

    /// The peer breaks off the next answer.
    pub(crate) fn leave_once(&self) {
        self.seen.away.store(true, Ordering::Relaxed);
    }
}

fn answer(result: &Value) -> Response<Body> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
    Response::builder().header("content-type", "application/json").body(Body::from(body)).unwrap()
}

async fn mcp(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    if request["method"] == "tools/list" {
        let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
        return answer(&json!({ "tools": [tool("get"), tool("delete")] }));
    }
    seen.open.fetch_add(1, Ordering::Relaxed);
    let open = Open(Arc::clone(&seen));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    seen.calls.lock().unwrap().push(json!({
        "task": header("agentmesh-task"), "agent": header("agentmesh-agent"), "traceparent": header("traceparent"),
    }));
    let id = &request["params"]["arguments"]["id"];
    if id == "never" {
        std::future::pending::<()>().await;
    }
    drop(open);
    answer(&json!({ "content": [{ "type": "text", "text": format!("got {id}") }] }))
}

/// What was asked comes back as a tool.
async fn tools(uri: http::Uri, headers: HeaderMap) -> Response<Body> {
    let asked = json!({ "query": uri.query(), "agent": headers["agentmesh-agent"].to_str().unwrap() });
    let tools = json!([{ "name": "crm_get", "category": "crm", "asked": asked }, { "name": "crm_delete" }]);
    let body = json!({ "tools": tools }).to_string();
    Response::builder().header("content-type", "application/json").body(Body::from(body)).unwrap()
}

async fn directory(State(seen): State<Arc<Seen>>) -> String {
    json!({ "agents": [{ "name": "marketing", "url": *seen.url.lock().unwrap() }] }).to_string()
}

async fn card(State(seen): State<Arc<Seen>>) -> String {
    let url = format!("{}/", seen.url.lock().unwrap());
    json!({
        "supportedInterfaces": [{ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "capabilities": { "extensions": [{ "uri": mesh_host::EVENT_LOG_EXTENSION }] },
    })
    .to_string()
}

async fn peer(State(seen): State<Arc<Seen>>, body: Bytes) -> Response<Body> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (method, params) = (&request["method"], &request["params"]);
    if method == "CancelTask" {
        seen.canceled.lock().unwrap().push(params["id"].clone());
        return answer(&json!({ "id": params["id"], "status": { "state": "TASK_STATE_CANCELED" } }));
    }
    seen.calls.lock().unwrap().push(params.clone());
    if params["message"]["parts"][0]["text"] == "never" {
        if params["configuration"]["returnImmediately"] == true {
            let task = json!({ "id": "given", "status": { "state": "TASK_STATE_WORKING" } });
            return answer(&json!({ "task": task }));
        }
        seen.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(Arc::clone(&seen));
        std::future::pending::<()>().await;
    }
    if seen.away.swap(false, Ordering::Relaxed) {
        let broken = futures_util::stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("away"))]);
        let response = Response::builder().status(StatusCode::OK).header("content-type", "application/json");
        return response.body(Body::from_stream(broken)).unwrap();
    }
    answer(&json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "fine" }] } }))
}
