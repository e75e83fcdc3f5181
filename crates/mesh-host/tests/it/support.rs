//! A host in the test's process, spoken to through its router.

use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use mesh_config::{Agent, Card, Launch, Limits, OnWorkerLoss, Push, Tasks, Worker};
use mesh_core::trace::Tracer;
use mesh_core::{AgentName, Clock, Principal, SystemClock};
use mesh_host::{Host, HostError, HostMetrics, HostParts, HostSettings};
use mesh_log::{EventLog, MemoryLog};
use mesh_policy::LocalOnly;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

/// How long anything may take before a test is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The scripted worker, which is built beside the tests.
fn scripted_worker() -> String {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.ancestors().nth(2).expect("a target folder").join("scripted-worker");
    assert!(path.exists(), "{} is missing: run `cargo build -p mesh-test --bins`", path.display());
    path.display().to_string()
}

/// The settings of an agent whose worker is the scripted one.
pub(crate) fn settings() -> HostSettings {
    let worker = Worker {
        launch: Launch::Command(vec![scripted_worker()]),
        env: BTreeMap::new(),
        cwd: PathBuf::from("/"),
        start_timeout: PATIENCE,
        health_interval: PATIENCE,
        health_timeout: PATIENCE,
    };
    let tasks = Tasks { cancel_grace: Duration::from_millis(300), ..Tasks::default() };
    HostSettings {
        name: AgentName::from("sales"),
        agent: Agent {
            listen: "127.0.0.1:1".parse().unwrap(),
            public_url: None,
            worker,
            card: Card::default(),
            tools: Vec::new(),
            peers: Vec::new(),
            tasks,
        },
        limits: Limits::default(),
        model: None,
        push: Push::default(),
        gateway_url: "http://127.0.0.1:1".to_owned(),
        caller: Principal::local(),
    }
}

/// The same, and a lost worker fails its tasks.
pub(crate) fn failing() -> HostSettings {
    let mut settings = settings();
    settings.agent.tasks.on_worker_loss = OnWorkerLoss::Fail;
    settings
}

/// The settings of an agent whose worker is a shell script that has said hello.
pub(crate) fn script(text: &str) -> HostSettings {
    let mut settings = failing();
    let text = format!("echo '{{\"type\":\"hello\",\"protocol\":1}}'\nread -r config\n{text}");
    settings.agent.worker.launch = Launch::Command(vec!["sh".to_owned(), "-c".to_owned(), text]);
    settings
}

/// A host that does not run yet.
pub(crate) fn host(
    settings: HostSettings,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    registry: &mut Registry,
) -> Result<Arc<Host>, HostError> {
    Host::new(HostParts {
        settings,
        log,
        authorizer: Arc::new(LocalOnly),
        clock,
        tracer: Tracer::default(),
        metrics: HostMetrics::register(registry),
    })
}

/// A host that runs.
pub(crate) struct Bench {
    pub(crate) host: Arc<Host>,
    registry: Registry,
}

impl Bench {
    pub(crate) async fn start(settings: HostSettings) -> Self {
        Self::on(settings, Arc::new(MemoryLog::new())).await
    }

    pub(crate) async fn on(settings: HostSettings, log: Arc<dyn EventLog>) -> Self {
        Self::at(settings, log, Arc::new(SystemClock)).await
    }

    /// With a clock of its own.
    pub(crate) async fn at(settings: HostSettings, log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        let mut registry = Registry::default();
        let host = host(settings, log, clock, &mut registry).expect("a host");
        host.start().await.expect("the log can be read");
        Self { host, registry }
    }

    /// Until the worker is ready.
    pub(crate) async fn ready(self) -> Self {
        until("the worker is ready", || self.host.not_ready().is_none()).await;
        self
    }

    /// All metrics, as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// What a gauge of the agent shows.
    pub(crate) fn gauge(&self, name: &str) -> i64 {
        let text = self.metrics();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).expect("a gauge");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> http::Response<Body> {
        self.host.router().oneshot(request).await.expect("a router never fails")
    }

    async fn post(
        &self,
        method: &str,
        params: Value,
        headers: &[(&'static str, &str)],
    ) -> http::Response<Body> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request =
            Request::post("/").header("content-type", "application/json").header("a2a-version", "1.0");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// The whole answer of a call.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        self.rpc_with(method, params, &[]).await
    }

    /// The same with headers.
    pub(crate) async fn rpc_with(
        &self,
        method: &str,
        params: Value,
        headers: &[(&'static str, &str)],
    ) -> Value {
        let work = async { body(self.post(method, params, headers).await).await.1 };
        let text = tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{method} hangs"));
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The task after it has settled.
    pub(crate) async fn send(&self, program: &str) -> Value {
        let answer = self.rpc("SendMessage", json!({ "message": message(program) })).await;
        answer["result"]["task"].clone()
    }

    /// The id of a task that is not waited for.
    pub(crate) async fn begin(&self, program: &str) -> String {
        let params = json!({ "message": message(program), "configuration": { "returnImmediately": true } });
        let answer = self.rpc("SendMessage", params).await;
        answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) async fn get(&self, id: &str) -> Value {
        self.rpc("GetTask", json!({ "id": id })).await["result"].clone()
    }

    pub(crate) async fn cancel(&self, id: &str) -> Value {
        self.rpc("CancelTask", json!({ "id": id })).await["result"].clone()
    }

    pub(crate) async fn answer(&self, id: &str, text: &str) -> Value {
        let mut message = message(text);
        message["taskId"] = id.into();
        self.rpc("SendMessage", json!({ "message": message })).await["result"]["task"].clone()
    }

    /// Every event of a task from the first one on.
    pub(crate) async fn events(&self, id: &str) -> Events {
        self.stream("SubscribeToTask", json!({ "id": id }), &[("last-event-id", "0")]).await
    }

    pub(crate) async fn stream(
        &self,
        method: &str,
        params: Value,
        headers: &[(&'static str, &str)],
    ) -> Events {
        let response = self.post(method, params, headers).await;
        Events { body: response.into_body(), text: String::new() }
    }
}

/// The events of an open stream.
pub(crate) struct Events {
    body: Body,
    text: String,
}

impl Events {
    /// The next event with its number; `None` at the end. What is no event, an error say, has no number.
    pub(crate) async fn next(&mut self) -> Option<(Option<u64>, Value)> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (id, data) = (field("id: "), field("data: "));
                self.text = rest.to_owned();
                let Some(data) = data else { continue };
                return Some((id.map(|id| id.parse().unwrap()), serde_json::from_str(&data).unwrap()));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("the stream goes on");
            let Some(frame) = frame else {
                let text = std::mem::take(&mut self.text);
                return (!text.is_empty()).then(|| (None, serde_json::from_str(&text).unwrap()));
            };
            let data = frame.unwrap().into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Reads on until an event contains the text.
    pub(crate) async fn until(&mut self, text: &str) -> Value {
        while let Some((_, event)) = self.next().await {
            if event.to_string().contains(text) {
                return event;
            }
        }
        panic!("the stream ended without {text}");
    }

    /// Reads to the end; the numbers must be those after `after`, without a gap.
    pub(crate) async fn rest_after(&mut self, after: u64) -> Vec<Value> {
        let mut events = Vec::new();
        let mut expected = after + 1;
        while let Some((number, event)) = self.next().await {
            assert_eq!(number, Some(expected), "{event}");
            expected += 1;
            events.push(event);
        }
        events
    }
}

pub(crate) fn message(text: &str) -> Value {
    let id = mesh_core::MessageId::generate();
    json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }] })
}

pub(crate) fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap_or_else(|| panic!("no task: {task}"))
}

/// The headers and the body of an answer.
pub(crate) async fn body(response: http::Response<Body>) -> (HeaderMap, Vec<u8>) {
    let (parts, body) = response.into_parts();
    (parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

/// Waits for something that nobody announces.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Whether a process is there, and more than a corpse that its parent has not looked at.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
