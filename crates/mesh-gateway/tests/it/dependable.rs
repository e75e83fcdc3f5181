//! Several targets of one upstream, one of them broken in some way; answers that are kept.

use crate::support::{MODERN, TestGateway, at, eventually, serve};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use mesh_config::{Endpoint, Target, Upstream};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a target does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Fault {
    None,
    Unavailable,
    Garbage,
    Reset,
    Never,
    Trickle,
}

impl Fault {
    const ALL: [Self; 6] =
        [Self::None, Self::Unavailable, Self::Garbage, Self::Reset, Self::Never, Self::Trickle];
}

/// A small stateless server.
#[derive(Default)]
struct Server {
    fault: AtomicU8,
    calls: AtomicUsize,
    arguments: Mutex<Vec<Value>>,
}

impl Server {
    async fn start() -> (Arc<Self>, String) {
        let server = Arc::new(Self::default());
        let url = serve(axum::Router::new().fallback(answer).with_state(Arc::clone(&server))).await;
        (server, format!("{url}/mcp"))
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn breaks(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }
}

fn reply(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

async fn answer(State(server): State<Arc<Server>>, request: axum::extract::Request) -> Response {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (id, method) = (&message["id"], message["method"].as_str().unwrap_or_default());
    let fault = Fault::ALL[usize::from(server.fault.load(Ordering::SeqCst))];
    let result = match method {
        "server/discover" => json!({"supportedVersions": [MODERN], "capabilities": {"tools": {}}}),
        "tools/list" => json!({"ttlMs": 60_000, "cacheScope": "public", "tools": [
            {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}},
            {"name": "write", "inputSchema": {"type": "object"}},
        ]}),
        _ => {
            server.calls.fetch_add(1, Ordering::SeqCst);
            server.arguments.lock().unwrap().push(message["params"]["arguments"].clone());
            json!({"content": [], "n": server.calls()})
        }
    };
    let mut result = result;
    result["resultType"] = "complete".into();
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    let pieces = |after: Result<Bytes, std::io::Error>| {
        let half = Bytes::from(body[..20].to_owned());
        Body::from_stream(futures_util::stream::iter([Ok(half), after]))
    };
    match fault {
        Fault::None => reply(200, "application/json", body),
        Fault::Unavailable => reply(503, "text/plain", "later"),
        Fault::Garbage => reply(200, "application/json", "{\"nonsense\""),
        Fault::Reset => reply(200, "application/json", pieces(Err(std::io::Error::other("cut")))),
        Fault::Never => std::future::pending().await,
        Fault::Trickle => {
            let begun = Bytes::from(body[..20].to_owned());
            let never = futures_util::stream::once(async { Ok::<_, std::io::Error>(begun) });
            let never = futures_util::StreamExt::chain(never, futures_util::stream::pending());
            reply(200, "application/json", Body::from_stream(never))
        }
    }
}

fn several(urls: &[String]) -> Upstream {
    let target = |url: &String| {
        Target::new(Endpoint::Http { url: url.clone(), headers: std::collections::BTreeMap::new() })
    };
    let mut upstream = Upstream::new(Endpoint::Several(urls.iter().map(target).collect()));
    upstream.retries.trust_hints = true;
    upstream.retries.attempt_timeout = Some(Duration::from_millis(300));
    upstream.retries.budget = 100;
    upstream.idle_timeout = Duration::from_millis(300);
    upstream
}

#[tokio::test]
async fn one_broken_target_of_three_fails_no_call_that_may_be_repeated_and_comes_back_by_itself() {
    for fault in &Fault::ALL[1..] {
        let (mut servers, mut urls) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (server, url) = Server::start().await;
            servers.push(server);
            urls.push(url);
        }
        let mut upstream = several(&urls);
        upstream.health.eject = Duration::from_millis(200);
        upstream.health.interval = Duration::from_millis(100);
        upstream.health.slow_start = Duration::ZERO;
        let gateway = TestGateway::start(&[("crm", upstream)]).await;
        for _ in 0..30 {
            assert!(gateway.call("/mcp", "crm_read", json!({})).await["result"].is_object());
        }
        servers[0].breaks(*fault);
        for at in 0..30 {
            let answer = gateway.call("/mcp", "crm_read", json!({})).await;
            assert!(answer["result"].is_object(), "{fault:?}, call {at}: {answer}");
        }
        servers[0].breaks(Fault::None);
        let before = servers[0].calls();
        let healed = async {
            while servers[0].calls() < before + 5 {
                let answer = gateway.call("/mcp", "crm_read", json!({})).await;
                assert!(answer["result"].is_object(), "{fault:?}: {answer}");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), healed).await.expect("it should be used again");
    }
}

#[tokio::test]
async fn a_call_that_may_change_something_is_never_made_twice() {
    let (first, one) = Server::start().await;
    let (second, two) = Server::start().await;
    let gateway = TestGateway::start(&[("crm", several(&[one, two]))]).await;
    gateway.tools("/mcp").await;
    for server in [&first, &second] {
        server.breaks(Fault::Reset);
    }
    let answer = gateway.call("/mcp", "crm_write", json!({})).await;
    assert_eq!(answer["error"]["data"]["kind"], "upstream_unavailable", "{answer}");
    assert_eq!(first.calls() + second.calls(), 1);
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_costs_no_call_whatever_the_tool() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/mcp", gone.local_addr().unwrap());
    drop(gone);
    let (server, url) = Server::start().await;
    let gateway = TestGateway::start(&[("crm", several(&[nobody, url]))]).await;
    for _ in 0..20 {
        assert!(gateway.call("/mcp", "crm_write", json!({})).await["result"].is_object());
    }
    assert_eq!(server.calls(), 20);
}

#[tokio::test]
async fn a_breaker_opens_when_too_many_calls_fail_and_says_so() {
    let (server, url) = Server::start().await;
    let mut upstream = at(&url, &[]);
    upstream.breaker.volume = 5;
    upstream.breaker.open = Duration::from_millis(100);
    let (other, other_url) = Server::start().await;
    let gateway = TestGateway::start(&[("crm", upstream), ("other", at(&other_url, &[]))]).await;
    gateway.tools("/mcp").await;
    server.breaks(Fault::Unavailable);
    for _ in 0..10 {
        assert!(gateway.call("/mcp", "crm_write", json!({})).await["error"].is_object());
        assert!(gateway.call("/mcp", "other_write", json!({})).await["result"].is_object());
    }
    assert!(server.calls() < 10, "the last calls did not reach it");
    assert_eq!(other.calls(), 10);
    server.breaks(Fault::None);
    let recovered = async {
        while gateway.call("/mcp", "crm_write", json!({})).await["result"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered).await.expect("it should close again");
    assert!(gateway.metrics().contains("mcp_breaker"), "{}", gateway.metrics());
}

#[tokio::test]
async fn an_answer_is_kept_for_a_tool_that_the_configuration_names_and_asked_once_for_many() {
    let (server, url) = Server::start().await;
    let mut upstream = at(&url, &[]);
    upstream.cache.tools.insert("read".into(), Duration::from_secs(60));
    let gateway = TestGateway::start(&[("crm", upstream)]).await;
    gateway.tools("/mcp").await;
    let calls = (0..10).map(|_| gateway.call("/mcp", "crm_read", json!({"b": 1, "a": 1.0})));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer["result"]["n"], 1, "{answer}");
    }
    let same = gateway.call("/mcp", "crm_read", json!({"a": 1.0, "b": 1})).await;
    assert_eq!((same["result"]["n"].as_u64(), server.calls()), (Some(1), 1));
    gateway.call("/mcp", "crm_read", json!({"a": 2})).await;
    gateway.call("/mcp", "crm_write", json!({})).await;
    gateway.call("/mcp", "crm_write", json!({})).await;
    assert_eq!(server.calls(), 4);
    let fresh = json!({"name": "crm_read", "arguments": {"b": 1, "a": 1.0}});
    gateway.ask_with("/mcp", &[("cache-control", "no-cache")], "tools/call", fresh).await;
    assert_eq!(server.calls(), 5);
    let agent = [("agentmesh-agent", "sales")];
    let other = json!({"name": "crm_read", "arguments": {"b": 1, "a": 1.0}});
    gateway.ask_with("/mcp", &agent, "tools/call", other).await;
    assert_eq!(server.calls(), 6, "another principal has another answer");
    eventually(|| gateway.audit.records().len() == 16).await;
}
