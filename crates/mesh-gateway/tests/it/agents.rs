//! Requests to agents through the gateway: what passes, what does not, and what becomes of it.

use crate::support::{TestGateway, eventually, serve};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use mesh_gateway::AgentSite;
use mesh_policy::Outcome;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// What an agent that answers as it is told was asked.
#[derive(Default)]
struct Told {
    requests: Mutex<Vec<(http::request::Parts, Bytes)>>,
    answers: Mutex<Vec<Response>>,
}

async fn agent() -> (Arc<Told>, String) {
    let told = Arc::new(Told::default());
    let state = Arc::clone(&told);
    let answer = move |request: Request| {
        let told = Arc::clone(&state);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            told.requests.lock().unwrap().push((parts, body));
            let next = told.answers.lock().unwrap().pop();
            next.unwrap_or_else(|| json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
        }
    };
    let url = serve(axum::Router::new().fallback(answer)).await;
    (told, url)
}

fn json(body: &'static str) -> Response {
    Response::builder().header("content-type", "application/json").body(Body::from(body)).unwrap()
}

fn host(url: &str) -> AgentSite {
    AgentSite { name: "sales".into(), url: url.into(), host: true, ..AgentSite::default() }
}

async fn in_front_of(site: AgentSite) -> TestGateway {
    TestGateway::with(&[], |settings| settings.agents = vec![site]).await
}

#[tokio::test]
async fn bytes_pass_as_they_are_and_credentials_do_not() {
    let (told, url) = agent().await;
    let mut site = host(&url);
    site.headers = [("x-agent-key".to_owned(), mesh_config::Secret::new("ours"))].into();
    let gateway = in_front_of(site).await;
    let body = r#"{ "jsonrpc":"2.0","id": 1.50e1,  "method":"GetTask","params":{"x":1.0,"big":12345678901234567890123} }"#;
    let answer = r#"{"jsonrpc":"2.0" ,"id":1.50e1,"result":{"y":1.0,"unknown":"\u00fc"}} "#;
    told.answers.lock().unwrap().push(json(answer));
    let headers = [
        ("authorization", "Bearer secret"),
        ("cookie", "a=b"),
        ("agentmesh-agent", "somebody"),
        ("a2a-version", "1.0"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let answered = gateway.send("/agents/sales", &headers, body).await;
    assert_eq!((answered.status().as_u16(), answered.text().await.unwrap().as_str()), (200, answer));
    let requests = std::mem::take(&mut *told.requests.lock().unwrap());
    let (parts, sent) = &requests[0];
    assert_eq!((parts.uri.path(), &sent[..]), ("/", body.as_bytes()));
    for name in ["authorization", "cookie", "agentmesh-agent"] {
        assert!(!parts.headers.contains_key(name), "{name}");
    }
    assert_eq!(parts.headers["x-agent-key"], "ours");
    assert_eq!(parts.headers["a2a-version"], "1.0");
    let trace = parts.headers["traceparent"].to_str().unwrap();
    assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && !trace.contains("00f067aa0ba902b7"));
    assert_eq!(parts.headers["x-forwarded-prefix"], "/agents/sales");

    let rest = gateway.client.get(format!("{}/agents/sales/tasks/%C3%BC?historyLength=1", gateway.url));
    rest.send().await.unwrap();
    let (parts, _) = told.requests.lock().unwrap().pop().unwrap();
    assert_eq!(parts.uri, "/tasks/%C3%BC?historyLength=1");

    let records = gateway.records(2).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
    let record = serde_json::to_value(&records[0]).unwrap();
    assert_eq!((&record["action"], &record["operation"]), (&json!("task/read"), &json!("GetTask")));
    assert_eq!((&record["targetAgent"], &record["principal"]), (&json!("sales"), &json!("somebody")));
    let count = r#"gateway_agent_requests_total{agent="sales",operation="GetTask",outcome="ok"} 2"#;
    assert!(gateway.metrics().contains(count), "{}", gateway.metrics());
}

#[tokio::test]
async fn events_pass_one_by_one_and_a_client_that_leaves_ends_the_stream_at_the_agent() {
    let (told, url) = agent().await;
    let gateway = in_front_of(host(&url)).await;
    let (events, stream) = mpsc::channel::<&'static str>(1);
    let stream = futures_util::stream::unfold(stream, |mut stream| async move {
        stream.recv().await.map(|event| (Ok::<_, std::io::Error>(event), stream))
    });
    let answer =
        Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(stream));
    told.answers.lock().unwrap().push(answer.unwrap());
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"SendStreamingMessage","params":{}}"#;
    let mut answered = gateway.send("/agents/sales/", &[], body).await.bytes_stream();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        // Nothing follows yet, so whoever waits for more would wait for ever.
        events.send(event).await.unwrap();
        assert_eq!(answered.next().await.unwrap().unwrap(), event);
    }
    assert_eq!(gateway.records(1).await[0].outcome, Outcome::Ok, "it is written when the stream begins");
    assert!(gateway.metrics().contains(r#"gateway_agent_streams{agent="sales"} 1"#));
    drop(answered);
    events.closed().await;
    eventually(|| gateway.metrics().contains(r#"gateway_agent_streams{agent="sales"} 0"#)).await;
    gateway.records(1).await;
}

#[tokio::test]
async fn a_slow_client_holds_the_agent_back() {
    let (told, url) = agent().await;
    let gateway = in_front_of(host(&url)).await;
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let pieces = futures_util::stream::repeat_with(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(piece.clone())
    });
    let answer = Response::builder().header("content-type", "text/event-stream");
    let answer = answer.body(Body::from_stream(pieces.take(4096))).unwrap();
    told.answers.lock().unwrap().push(answer);
    let body = r#"{"id":1,"method":"tasks/resubscribe"}"#;
    let mut answered = gateway.send("/agents/sales", &[], body).await.bytes_stream();
    answered.next().await.unwrap().unwrap();
    // It stands still as soon as the buffers of the sockets are full.
    let mut before = usize::MAX;
    while made.load(Ordering::Relaxed) != before {
        before = made.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 1000, "{before} pieces were taken of an agent whose client reads none");
}

#[tokio::test]
async fn what_cannot_be_read_safely_is_refused_and_changes_nothing() {
    let (told, url) = agent().await;
    let gateway = in_front_of(host(&url)).await;
    for (body, code) in [
        ("{", -32700),
        (r#"{"id":1,"method":"GetTask","method":"SendMessage"}"#, -32600),
        (r#"[{"id":1,"method":"GetTask"}]"#, -32600),
    ] {
        let answer: Value = gateway.send("/agents/sales", &[], body).await.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{body}");
    }
    let answer = gateway.send("/agents/sales/a%2f..%2fb", &[], "{}").await;
    assert_eq!(answer.status(), 400);
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(gateway.send("/agents/sales/message:send", &[], large).await.status(), 413);
    let stranger = [("origin", "https://evil.example")];
    assert_eq!(gateway.send("/agents/sales/message:send", &stranger, "{}").await.status(), 403);
    assert!(told.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_of_another_tenant_is_not_there() {
    let (told, url) = agent().await;
    let gateway = in_front_of(host(&url)).await;
    let body = r#"{"id":7,"method":"GetTask"}"#;
    for (path, tenant) in [("/agents/sales", "other"), ("/agents/nobody", "default")] {
        let answer = gateway.send(path, &[("agentmesh-tenant", tenant)], body).await;
        assert_eq!(answer.status(), 404);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-31404), &json!(7)));
    }
    assert!(told.requests.lock().unwrap().is_empty());
    let outcomes: Vec<_> = gateway.records(2).await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::NotFound, Outcome::NotFound]);
}

#[tokio::test]
async fn replicas_share_the_work_and_one_that_is_down_costs_no_request() {
    let (one, first) = agent().await;
    let (two, second) = agent().await;
    let mut site = host(&first);
    site.replicas = vec!["http://127.0.0.1:1".to_owned(), second];
    let gateway = in_front_of(site).await;
    for _ in 0..60 {
        let answer = gateway.send("/agents/sales", &[], r#"{"id":1,"method":"SendMessage"}"#).await;
        assert!(answer.json::<Value>().await.unwrap()["result"].is_object());
    }
    let asked = |told: &Told| told.requests.lock().unwrap().len();
    assert_eq!(asked(&one) + asked(&two), 60, "nothing was sent twice");
    assert!(asked(&one) > 5 && asked(&two) > 5);
}

#[tokio::test]
async fn a_message_that_may_have_arrived_is_not_sent_again_and_a_question_is() {
    let broken = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (state, count) = (Arc::clone(&broken), Arc::clone(&asked));
    let answer = move || {
        let broken = state.swap(false, Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut answer = json(r#"{"id":1,"result":{}}"#);
            if broken {
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            answer
        }
    };
    let url = serve(axum::Router::new().fallback(answer)).await;
    let gateway = in_front_of(host(&url)).await;
    let question = gateway.send("/agents/sales", &[], r#"{"id":1,"method":"GetTask"}"#).await;
    assert_eq!((question.status().as_u16(), asked.load(Ordering::Relaxed)), (200, 2));
    broken.store(true, Ordering::Relaxed);
    let message = gateway.send("/agents/sales", &[], r#"{"id":1,"method":"SendMessage"}"#).await;
    assert_eq!((message.status().as_u16(), asked.load(Ordering::Relaxed)), (503, 3));
}

#[tokio::test]
async fn an_agent_that_is_down_is_said_to_be_in_every_binding() {
    let gateway = in_front_of(host("http://127.0.0.1:1")).await;
    let rpc = gateway.send("/agents/sales", &[], r#"{"id":"a","method":"SendMessage"}"#).await;
    let rpc: Value = rpc.json().await.unwrap();
    assert_eq!((&rpc["error"]["code"], &rpc["id"]), (&json!(-31503), &json!("a")));
    let rest = gateway.send("/agents/sales/message:send", &[], "{}").await;
    assert_eq!(rest.status(), 503);
    assert_eq!(rest.json::<Value>().await.unwrap()["error"]["details"][0]["reason"], "AGENT_UNAVAILABLE");
    let grpc = gateway.send(
        "/agents/sales/lf.a2a.v1.A2AService/GetTask",
        &[("content-type", "application/grpc")],
        vec![0, 0, 0, 0, 0],
    );
    assert_eq!(grpc.await.headers()["grpc-status"], "14");
    let unnamed = gateway.send(
        "/lf.a2a.v1.A2AService/GetTask",
        &[("content-type", "application/grpc")],
        vec![0, 0, 0, 0, 8, 0x0a, 6, b'n', b'o', b'b', b'o', b'd', b'y'],
    );
    assert_eq!(unnamed.await.headers()["grpc-status"], "5");
}
