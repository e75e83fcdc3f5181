//! A gateway on a port of its own, and what talks to it.

use mesh_config::{Endpoint, Upstream};
use mesh_core::trace::{Span, SpanSink, Tracer};
use mesh_core::{MemoryShelf, SystemClock};
use mesh_gateway::{Gateway, Settings, Wiring};
use mesh_policy::{AuditRecord, LocalOnly, MemoryAudit};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const MODERN: &str = "2026-07-28";

#[derive(Default)]
pub(crate) struct Spans(pub(crate) Mutex<Vec<Span>>);

impl SpanSink for Spans {
    fn export(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

/// A running gateway. Its processes end with it, at the latest when the test's runtime does.
pub(crate) struct TestGateway {
    pub(crate) url: String,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) audit: MemoryAudit,
    pub(crate) registry: Registry,
    pub(crate) spans: Arc<Spans>,
    pub(crate) client: reqwest::Client,
}

impl TestGateway {
    pub(crate) async fn start(upstreams: &[(&str, Upstream)]) -> Self {
        Self::with(upstreams, |_| {}).await
    }

    pub(crate) async fn with(upstreams: &[(&str, Upstream)], tweak: impl FnOnce(&mut Settings)) -> Self {
        let upstreams = upstreams.iter().map(|(id, upstream)| ((*id).to_owned(), upstream.clone())).collect();
        let mut settings = Settings { upstreams, ..Settings::default() };
        tweak(&mut settings);
        let audit = MemoryAudit::new(10_000);
        let spans = Arc::new(Spans::default());
        let wiring = Wiring {
            audit: Arc::new(audit.clone()),
            authorizer: Arc::new(LocalOnly),
            clock: Arc::new(SystemClock),
            tracer: Tracer::new(Arc::clone(&spans) as Arc<dyn SpanSink>),
            shelf: Arc::new(MemoryShelf::new()),
        };
        let mut registry = Registry::default();
        let gateway = Gateway::new(settings, wiring, &mut registry).unwrap();
        gateway.start();
        let url = serve(gateway.router()).await;
        Self { url, gateway, audit, registry, spans, client: reqwest::Client::new() }
    }

    /// Sends a body with the usual headers and those given.
    pub(crate) async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        for name in ["content-type", "accept"] {
            if !headers.iter().any(|(given, _)| *given == name) {
                let value =
                    if name == "accept" { "application/json, text/event-stream" } else { "application/json" };
                request = request.header(name, value);
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// A legacy request; its whole answer.
    pub(crate) async fn ask(&self, path: &str, method: &str, params: Value) -> Value {
        self.ask_with(path, &[], method, params).await
    }

    pub(crate) async fn ask_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        method: &str,
        params: Value,
    ) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.send(path, headers, body.to_string()).await;
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// A legacy `tools/call`; its whole answer.
    pub(crate) async fn call(&self, path: &str, tool: &str, arguments: Value) -> Value {
        self.ask(path, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// The names in `tools/list`.
    pub(crate) async fn tools(&self, path: &str) -> Vec<String> {
        let answer = self.ask(path, "tools/list", json!({})).await;
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until there are `count` audit records.
    pub(crate) async fn records(&self, count: usize) -> Vec<AuditRecord> {
        eventually(|| self.audit.records().len() >= count).await;
        let records = self.audit.records();
        assert_eq!(records.len(), count);
        records
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// A modern request: body and headers.
pub(crate) fn modern(method: &str, mut params: Value) -> (String, Vec<(&'static str, String)>) {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let mut headers = vec![("mcp-protocol-version", MODERN.to_owned()), ("mcp-method", method.to_owned())];
    if let Some(name) = params["name"].as_str() {
        headers.push(("mcp-name", name.to_owned()));
    }
    (json!({"jsonrpc": "2.0", "id": "m", "method": method, "params": params}).to_string(), headers)
}

pub(crate) async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// An upstream with the usual bounds.
fn upstream(endpoint: Endpoint) -> Upstream {
    Upstream {
        endpoint,
        category: None,
        description: None,
        tags: Vec::new(),
        timeout: Duration::from_secs(30),
        concurrency: 64,
        queue: 256,
        selection: mesh_config::Selection::default(),
        split: None,
        shadow: None,
    }
}

/// The child process of `examples/echo_upstream.rs`.
pub(crate) fn echo(arguments: &[&str]) -> Upstream {
    let binary = std::env::current_exe().unwrap();
    let binary: PathBuf =
        binary.parent().and_then(|deps| deps.parent()).unwrap().join("examples/echo_upstream");
    let mut command = vec![binary.to_str().unwrap().to_owned()];
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    upstream(Endpoint::Process { command, env: BTreeMap::new(), cwd: PathBuf::new() })
}

/// A server at an address.
pub(crate) fn at(url: &str, headers: &[(&str, &str)]) -> Upstream {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), mesh_config::Secret::new(*v))).collect();
    upstream(Endpoint::Http { url: url.to_owned(), headers })
}

/// Waits for something that no event announces.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it should have happened by now");
}
