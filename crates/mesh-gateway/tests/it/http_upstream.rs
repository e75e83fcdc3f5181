//! Upstreams over HTTP, of both generations, well and badly behaved.

use crate::support::{MODERN, TestGateway, at, echo, eventually, modern, serve};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method};
use mesh_policy::Outcome;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What a fake server does, and what it saw.
#[derive(Default)]
struct Fake {
    modern: bool,
    /// The session id it gives out and insists on; changing it makes it forget.
    session: Mutex<Option<String>>,
    /// Its answer to calls of the tool `odd`, whole.
    odd: Mutex<Option<(u16, &'static str, String)>>,
    seen: Mutex<Vec<(Method, HeaderMap, Value)>>,
    down: Mutex<bool>,
}

impl Fake {
    async fn start(self) -> (Arc<Self>, String) {
        let fake = Arc::new(self);
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&fake));
        let url = serve(router).await;
        (fake, format!("{url}/mcp"))
    }

    fn seen(&self, method: &str) -> Vec<(HeaderMap, Value)> {
        let seen = self.seen.lock().unwrap();
        let matching = seen.iter().filter(|(_, _, body)| body["method"] == method);
        matching.map(|(_, headers, body)| (headers.clone(), body.clone())).collect()
    }
}

fn reply(status: u16, kind: &str, body: String) -> Response {
    Response::builder().status(status).header("content-type", kind).body(Body::from(body)).unwrap()
}

fn result(id: &Value, result: Value) -> Response {
    reply(200, "application/json", json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

async fn answer(State(fake): State<Arc<Fake>>, request: axum::extract::Request) -> Response {
    if *fake.down.lock().unwrap() {
        return reply(503, "text/plain", "down".to_owned());
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    fake.seen.lock().unwrap().push((parts.method, parts.headers.clone(), message.clone()));
    let (id, method) = (&message["id"], message["method"].as_str().unwrap_or_default());
    let session = fake.session.lock().unwrap().clone();
    match method {
        "server/discover" if fake.modern => {
            result(id, json!({"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}}))
        }
        "initialize" if !fake.modern => {
            let version = &message["params"]["protocolVersion"];
            let mut response =
                result(id, json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {}}));
            if let Some(session) = session {
                response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
            }
            response
        }
        _ if session
            .is_some_and(|session| parts.headers.get("mcp-session-id").is_none_or(|s| s != &session)) =>
        {
            reply(404, "text/plain", "no such session".to_owned())
        }
        "notifications/initialized" | "notifications/cancelled" => {
            reply(202, "application/json", String::new())
        }
        "tools/list" => result(
            id,
            json!({"tools": [
            {"name": "odd", "inputSchema": {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "R"}}}},
            {"name": "hang", "inputSchema": {}}]}),
        ),
        "tools/call" if message["params"]["name"] == "hang" => std::future::pending().await,
        "tools/call" => {
            let odd = fake.odd.lock().unwrap().clone();
            let (status, kind, body) = odd.unwrap_or_else(|| {
                (200, "application/json", r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#.to_owned())
            });
            reply(
                status,
                kind,
                body.replace("$ID", &id.to_string())
                    .replace("$TOKEN", &message["params"]["_meta"]["progressToken"].to_string()),
            )
        }
        _ => reply(
            400,
            "application/json",
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "?"}}).to_string(),
        ),
    }
}

#[tokio::test]
async fn credentials_of_the_client_stay_here_and_those_of_the_upstream_are_sent() {
    let (fake, url) = Fake { modern: true, ..Fake::default() }.start().await;
    let gateway = TestGateway::start(&[("crm", at(&url, &[("x-key", "upstream's")]))]).await;
    gateway.tools("/mcp").await;
    let headers = [
        ("authorization", "Bearer client's"),
        ("cookie", "a=b"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let params = json!({"name": "crm_odd", "arguments": {"r": "Grüße"}});
    let answer = gateway.ask_with("/mcp", &headers, "tools/call", params).await;
    assert!(answer["result"].is_object(), "{answer}");
    let (seen, body) = fake.seen("tools/call").remove(0);
    assert!(!seen.contains_key("authorization") && !seen.contains_key("cookie"));
    let header = |name: &str| seen.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("x-key"), "upstream's");
    assert_eq!(
        (header("mcp-method"), header("mcp-name"), header("mcp-protocol-version")),
        ("tools/call", "odd", MODERN)
    );
    assert_eq!(header("mcp-param-r"), "=?base64?R3LDvMOfZQ==?=");
    assert!(header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(body["params"]["_meta"]["traceparent"], header("traceparent"));
    assert_eq!(body["params"]["name"], "odd");
}

#[tokio::test]
async fn a_forgotten_session_is_made_anew_within_the_call() {
    let fake = Fake { session: Mutex::new(Some("one".into())), ..Fake::default() };
    let (fake, url) = fake.start().await;
    let gateway = TestGateway::start(&[("crm", at(&url, &[]))]).await;
    assert!(gateway.call("/mcp", "crm_odd", json!({})).await["result"].is_object());
    // One for the lists, which the gateway asks for itself, and one for its clients' calls.
    assert_eq!(fake.seen("initialize").len(), 2);
    *fake.session.lock().unwrap() = Some("two".into());
    assert!(gateway.call("/mcp", "crm_odd", json!({})).await["result"].is_object());
    assert!(gateway.call("/mcp", "crm_odd", json!({})).await["result"].is_object());
    assert_eq!((fake.seen("initialize").len(), fake.seen("tools/call").len()), (3, 4));
    assert_eq!(gateway.records(3).await.len(), 3);
    gateway.gateway.shutdown(std::time::Duration::from_secs(1)).await;
    let seen = fake.seen.lock().unwrap();
    assert!(
        seen.iter()
            .any(|(method, headers, _)| method == Method::DELETE && headers["mcp-session-id"] == "two")
    );
}

#[tokio::test]
async fn whatever_an_upstream_answers_the_client_gets_a_protocol_answer() {
    let (fake, url) = Fake { modern: true, ..Fake::default() }.start().await;
    let gateway =
        TestGateway::with(&[("crm", at(&url, &[]))], |settings| settings.limits.result = 10_000).await;
    gateway.tools("/mcp").await;
    let sse = |events: &[&str]| events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>();
    let long = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"x":"{}"}}}}"#, "x".repeat(20_000));
    let json = "application/json";
    let stream = "text/event-stream";
    let cases: Vec<(u16, &str, String, &str)> = vec![
        (200, json, "nonsense".into(), "bad_answer"),
        (200, json, "{}".into(), "bad_answer"),
        (200, json, r#"{"jsonrpc":"2.0","id":99999,"result":{}}"#.into(), "bad_answer"),
        (200, json, r#"{"jsonrpc":"2.0","id":$ID,"result":[]}"#.into(), "bad_answer"),
        (200, json, long.clone(), "result_too_large"),
        (200, stream, sse(&[&long]), "result_too_large"),
        (200, stream, sse(&["nonsense"]), "bad_answer"),
        (200, stream, sse(&[]), "upstream_unavailable"),
        (200, "text/html", "<html>".into(), "bad_answer"),
        (202, json, String::new(), "upstream_unavailable"),
        (301, json, String::new(), "upstream_unavailable"),
        (404, "text/plain", "gone".into(), "upstream_unavailable"),
        (401, json, String::new(), "upstream_unauthorized"),
        (500, json, String::new(), "upstream_unavailable"),
        (503, "text/plain", "later".into(), "upstream_unavailable"),
    ];
    for (status, kind, body, expected) in cases {
        *fake.odd.lock().unwrap() = Some((status, kind, body.clone()));
        let answer = gateway.call("/mcp", "crm_odd", json!({})).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer["error"]["data"]["kind"], expected, "{status} {kind} {shown}: {answer}");
        assert_eq!(answer["error"]["data"]["upstream"], "crm");
    }
    *fake.odd.lock().unwrap() =
        Some((400, json, r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":7,"message":"m","x":1.0}}"#.into()));
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "crm_odd"}}).to_string();
    let text = gateway.send("/mcp", &[], body).await.text().await.unwrap();
    assert_eq!(text, r#"{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":"m","x":1.0}}"#);
}

#[tokio::test]
async fn a_stream_passes_its_notifications_and_its_questions_are_answered() {
    let (fake, url) = Fake::default().start().await;
    let gateway = TestGateway::start(&[("crm", at(&url, &[]))]).await;
    gateway.tools("/mcp").await;
    let events = [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":0.50}}"#,
        r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1.0}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#,
    ];
    let body = events.map(|event| format!("id: 1\ndata: {event}\n\n")).concat();
    *fake.odd.lock().unwrap() = Some((200, "text/event-stream", body));
    let params = json!({
        "name": "crm_odd",
        "_meta": {"progressToken": 5, "io.modelcontextprotocol/logLevel": "info"},
    });
    let (body, headers) = modern("tools/call", params);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let text = gateway.send("/mcp", &headers, body).await.text().await.unwrap();
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains(r#""params":{"progressToken":5,"progress":0.50}"#), "{text}");
    assert!(lines[1].contains(r#""data":1.0"#) && lines[2].contains(r#""resultType":"complete""#), "{text}");
    let seen = fake.seen.lock().unwrap();
    assert!(seen.iter().any(|(_, _, body)| body["id"] == "q" && body["error"]["code"] == -32601));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_at_a_legacy_server() {
    let (fake, url) = Fake::default().start().await;
    let gateway = TestGateway::start(&[("crm", at(&url, &[]))]).await;
    gateway.tools("/mcp").await;
    tokio::select! {
        answer = gateway.call("/mcp", "crm_hang", json!({})) => panic!("{answer}"),
        () = eventually(|| !fake.seen("tools/call").is_empty()) => {}
    }
    eventually(|| !fake.seen("notifications/cancelled").is_empty()).await;
    let id = fake.seen("tools/call")[0].1["id"].clone();
    assert_eq!(fake.seen("notifications/cancelled")[0].1["params"]["requestId"], id);
    assert_eq!(gateway.records(1).await[0].outcome, Outcome::ClientGone);
}

#[tokio::test]
async fn the_last_known_tools_of_an_upstream_that_is_down_are_served_and_marked() {
    let (fake, url) = Fake::default().start().await;
    let gateway = TestGateway::with(&[("crm", at(&url, &[])), ("other", echo(&[]))], |settings| {
        settings.list_ttl = std::time::Duration::ZERO;
    })
    .await;
    assert_eq!(gateway.tools("/mcp").await.len(), 14);
    *fake.down.lock().unwrap() = true;
    let list = gateway.ask("/mcp", "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 14);
    assert_eq!(list["result"]["_meta"]["agentmesh/unavailable"], json!(["crm"]));
    let answer = gateway.call("/mcp", "crm_odd", json!({})).await;
    assert_eq!(answer["error"]["data"], json!({"kind": "upstream_unavailable", "upstream": "crm"}));
    let failures: Vec<_> =
        gateway.gateway.health().into_iter().filter(|health| health.failure.is_some()).collect();
    assert_eq!((failures.len(), failures[0].id.as_str(), failures[0].tools), (1, "crm", Some(2)));
    *fake.down.lock().unwrap() = false;
    assert!(
        gateway.call("/mcp", "crm_odd", json!({})).await["result"].is_object(),
        "calls try for themselves"
    );
    eventually(|| gateway.gateway.health().iter().all(|health| health.failure.is_none())).await;
}
