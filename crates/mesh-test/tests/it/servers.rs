//! The load client and the judge of rubbish, against servers that are right and wrong on purpose.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use mesh_test::load::{self, A2aCalls, A2aMode, McpCalls, McpRevision, Plan, Workload};
use mesh_test::rubbish::{self, Kind, Site};
use serde_json::{Value, json};
use std::time::Duration;

/// How the server behaves.
#[derive(Clone, Copy)]
struct Manners {
    chunks: usize,
    /// What is said to a request that is no JSON.
    broken: StatusCode,
}

const GOOD: Manners = Manners { chunks: 10, broken: StatusCode::OK };

async fn serve(manners: Manners) -> String {
    let routes = Router::new().route("/", post(answer)).with_state(manners);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address.to_string()
}

async fn answer(State(manners): State<Manners>, headers: HeaderMap, body: bytes::Bytes) -> Response {
    let json_body =
        headers.get("content-type").is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if !json_body {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let error = |code: i32| json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": "no"}});
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return (manners.broken, error(-32700).to_string()).into_response();
    };
    let id = request["id"].clone();
    let fine = request["jsonrpc"] == "2.0" && (id.is_u64() || id.is_null());
    let params = request["params"].is_object();
    let completed = json!({"state": "TASK_STATE_COMPLETED"});
    let ok = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    match request["method"].as_str() {
        _ if !fine || !params && request["params"] != Value::Null => {
            error(-32600).to_string().into_response()
        }
        Some("SendMessage") => {
            let parts = vec![json!({"text": "x"}); manners.chunks];
            ok(json!({"task": {"id": "t", "status": completed, "artifacts": [{"parts": parts}]}}))
                .into_response()
        }
        Some("SendStreamingMessage") => {
            let mut events = vec![
                ok(json!({"task": {"status": {"state": "TASK_STATE_SUBMITTED"}}})),
                ok(json!({"statusUpdate": {"status": {"state": "TASK_STATE_WORKING"}}})),
            ];
            events.extend((0..manners.chunks).map(|n| {
                let artifact = json!({"parts": [{"text": "x"}]});
                ok(json!({"artifactUpdate": {"artifact": artifact, "append": n > 0}}))
            }));
            events.push(ok(json!({"statusUpdate": {"status": completed}})));
            let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
        }
        Some("initialize") => ([("mcp-session-id", "s")], ok(json!({"capabilities": {}}))).into_response(),
        Some("notifications/initialized") => StatusCode::ACCEPTED.into_response(),
        Some("tools/call") => ok(json!({"content": [{"type": "text", "text": "hello"}]})).into_response(),
        _ => error(-32601).to_string().into_response(),
    }
}

async fn measure(workload: Workload) -> load::Report {
    let plan = Plan {
        workload,
        connections: 2,
        time: Duration::from_millis(200),
        warmup: Duration::ZERO,
        call_timeout: Duration::from_secs(5),
        pids: vec![std::process::id()],
    };
    load::run(&plan).await.expect("the plan begins")
}

fn tasks(address: &str, mode: A2aMode) -> Workload {
    let url = format!("http://{address}/");
    Workload::A2a(A2aCalls { url, headers: Vec::new(), mode, text: "bench".into(), chunks: Some(10) })
}

#[tokio::test]
async fn right_answers_are_counted() {
    let address = serve(GOOD).await;
    let blocking = measure(tasks(&address, A2aMode::Blocking)).await;
    assert!(blocking.calls > 0 && blocking.errors == 0, "{blocking}");
    let stream = measure(tasks(&address, A2aMode::Stream)).await;
    assert_eq!((stream.events, stream.errors), (stream.calls * 13, 0), "{stream}");
    assert!(stream.first_event_ms.is_some() && stream.process.is_some());
    for revision in [McpRevision::Legacy, McpRevision::Modern] {
        let calls = McpCalls {
            url: format!("http://{address}/"),
            headers: vec!["X-Any: thing".into()],
            tool: Some("echo".into()),
            arguments: json!({}),
            expect: Some("hello".into()),
            revision,
        };
        let tools = measure(Workload::Mcp(calls)).await;
        assert!(tools.calls > 0 && tools.errors == 0, "{tools}");
    }
}

#[tokio::test]
async fn a_task_with_a_lost_chunk_is_an_error() {
    let address = serve(Manners { chunks: 9, ..GOOD }).await;
    for mode in [A2aMode::Blocking, A2aMode::Stream] {
        let report = measure(tasks(&address, mode)).await;
        assert_eq!(report.calls, 0);
        assert!(report.error_texts[0].contains("9 chunks instead of 10"), "{report}");
    }
}

async fn rubbish_for(address: &str, kind: Kind) -> rubbish::Report {
    let site = Site {
        kind,
        authority: address.to_owned(),
        path: "/".into(),
        tool: "echo".into(),
        headers: Vec::new(),
    };
    rubbish::run(site, 7, 150, Duration::from_secs(10)).await
}

#[tokio::test]
async fn a_server_that_answers_everything_rightly_has_no_violations() {
    let address = serve(GOOD).await;
    for kind in [Kind::A2a, Kind::Mcp, Kind::Http] {
        let report = rubbish_for(&address, kind).await;
        assert_eq!((report.count, report.violations.len()), (151, 0), "{report}");
    }
}

#[tokio::test]
async fn a_server_that_fails_on_broken_json_is_found_out() {
    let address = serve(Manners { broken: StatusCode::INTERNAL_SERVER_ERROR, ..GOOD }).await;
    let report = rubbish_for(&address, Kind::A2a).await;
    assert!(report.violations.iter().any(|v| v.why.starts_with("status 500")), "{report}");
}

#[test]
fn the_same_seed_makes_the_same_requests() {
    let site = || Site {
        kind: Kind::A2a,
        authority: "h:1".into(),
        path: "/".into(),
        tool: "echo".into(),
        headers: Vec::new(),
    };
    let wires = |seed| rubbish::Cases::new(site(), seed).take(100).map(|case| case.wire).collect::<Vec<_>>();
    assert!(wires(1) == wires(1));
    assert!(wires(1) != wires(2));
}
