//! A host with a worker, and requests to its router.

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use mesh_config::LoadOptions;
use mesh_core::trace::Tracer;
use mesh_core::{AgentName, Principal, SystemClock};
use mesh_host::{Host, HostMetrics, HostParts, HostSettings};
use mesh_log::MemoryLog;
use mesh_policy::LocalOnly;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A host that is ready, and its end.
pub(crate) struct Served {
    pub(crate) host: Arc<Host>,
    pub(crate) router: Router,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With further lines for the agent, or, after a line that is not indented, for the mesh.
    pub(crate) async fn with(more: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bindings/worker.sh");
        let file = format!(
            "push: {{ allow: [127.0.0.0/8] }}\nagents:\n  scripted:\n    listen: 127.0.0.1:8090\n    worker: {{ command: [sh, {script:?}] }}\n{more}"
        );
        let mesh = mesh_config::parse(&file, "mesh.yaml", &LoadOptions::new(&|_| None));
        let mesh = mesh.unwrap_or_else(|report| panic!("{report}"));
        let settings = HostSettings {
            name: AgentName::from("scripted"),
            agent: mesh.agents["scripted"].clone(),
            limits: mesh.limits.clone(),
            model: None,
            push: mesh.push.clone(),
            gateway_url: "http://127.0.0.1:1".to_owned(),
            caller: Principal::local(),
        };
        let host = Host::new(HostParts {
            settings,
            log: Arc::new(MemoryLog::new()),
            authorizer: Arc::new(LocalOnly),
            clock: Arc::new(SystemClock),
            tracer: Tracer::default(),
            metrics: HostMetrics::register(&mut prometheus_client::registry::Registry::default()),
        })
        .expect("a host");
        host.start().await.expect("a start");
        let ready = async {
            while host.not_ready().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("a ready worker");
        Self { router: host.router(), host }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        let answer = tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request));
        answer.await.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.call(request("GET", path, "")).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        read(self.call(request("POST", path, &body.to_string())).await).await
    }

    /// Sends a message and waits for its task.
    pub(crate) async fn send(&self, text: &str) -> Value {
        let (status, answer) = self.post("/message:send", &message(text)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["task"].clone()
    }

    /// Sends a message and does not wait.
    pub(crate) async fn begin(&self, text: &str) -> String {
        let mut body = message(text);
        body["configuration"] = json!({ "returnImmediately": true });
        let (status, answer) = self.post("/message:send", &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["task"]["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn stop(self) {
        self.host.shutdown(Duration::ZERO).await;
    }
}

/// A request of A2A 1.0; without a body if that is empty.
pub(crate) fn request(verb: &str, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(verb).uri(path).header("a2a-version", "1.0");
    if body.is_empty() {
        return request.body(Body::empty()).expect("a request");
    }
    request
        .header("content-type", "application/a2a+json")
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

/// Parameters of SendMessage.
pub(crate) fn message(text: &str) -> Value {
    let id = mesh_core::MessageId::generate();
    json!({ "message": { "messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }] } })
}

/// The whole of an answer that is JSON.
pub(crate) async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let text = text(response).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The whole of an answer.
pub(crate) async fn text(response: Response<Body>) -> String {
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("an end in time");
    String::from_utf8(body.expect("a body").to_bytes().to_vec()).expect("UTF-8")
}

/// Events of a stream: number and data.
pub(crate) fn events(stream: &str) -> Vec<(u64, Value)> {
    let event = |block: &str| {
        let (id, data) = block.strip_prefix("id: ")?.split_once("\ndata: ")?;
        Some((id.parse().ok()?, serde_json::from_str(data).ok()?))
    };
    stream
        .split_terminator("\n\n")
        .filter(|block| !block.starts_with(':'))
        .map(|block| event(block).unwrap_or_else(|| panic!("not an event: {block}")))
        .collect()
}
