//! The HTTP side.

use super::completion::{pieces, whole};
use super::conversation::ChatRequest;
use super::decide::decide;
use super::script::Script;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const BODY_LIMIT: usize = 16 << 20;

struct Shared {
    script: Script,
    requests: AtomicU64,
    refused: AtomicU64,
}

/// A model that runs in this process until it is dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ScriptedModel {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port is to be had.
    pub async fn start(script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            // It only ends when the task is aborted.
            let _ = serve(listener, script).await;
        });
        Ok(Self { address, task })
    }

    /// What an OpenAI client wants as its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where `GET /stats` tells how many requests there were.
    pub fn stats_url(&self) -> String {
        format!("http://{}/stats", self.address)
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the script on the listener for ever.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, script: Script) -> io::Result<()> {
    let shared = Arc::new(Shared { script, requests: AtomicU64::new(0), refused: AtomicU64::new(0) });
    let routes = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/stats", get(stats))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "no such method") })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared);
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, routes).await
}

async fn chat(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let answer = match body {
        Ok(body) => complete(&shared.script, &body).map_err(|why| (StatusCode::BAD_REQUEST, why)),
        Err(rejection) => Err((rejection.status(), rejection.body_text())),
    };
    answer.unwrap_or_else(|(status, why)| {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        error(status, &why)
    })
}

fn complete(script: &Script, body: &[u8]) -> Result<Response, String> {
    let request: ChatRequest = serde_json::from_slice(body).map_err(|e| format!("the request: {e}"))?;
    let decision = decide(script, &request)?;
    if !request.stream.unwrap_or(false) {
        return Ok(json_response(StatusCode::OK, &whole(&request, &decision)));
    }
    let mut lines: Vec<_> =
        pieces(&request, &decision).iter().map(|piece| format!("data: {piece}\n\n")).collect();
    lines.push("data: [DONE]\n\n".to_owned());
    let delay = decision.delay;
    let body = stream::iter(lines.into_iter().enumerate()).then(move |(n, line)| async move {
        if n > 0 && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Ok::<_, Infallible>(Bytes::from(line))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(body)).into_response())
}

async fn models() -> Response {
    let model = json!({"id": "scripted", "object": "model", "created": 0, "owned_by": "agentmesh"});
    json_response(StatusCode::OK, &json!({"object": "list", "data": [model]}))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let stats = json!({"requests": count(&shared.requests), "refused": count(&shared.refused)});
    json_response(StatusCode::OK, &stats)
}

fn error(status: StatusCode, message: &str) -> Response {
    let error = json!({
        "message": message, "type": "invalid_request_error", "param": null, "code": "scripted_model",
    });
    json_response(status, &json!({"error": error}))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
