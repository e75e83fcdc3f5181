//! Sessions of clients with a handshake: sealed, so that any replica serves them, and ended by their clients.

use crate::peer::Peer;
use crate::support::{TestGateway, at, eventually};
use http::{HeaderMap, Method};
use mesh_config::Secret;
use serde_json::{Value, json};

/// A client with a session.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) session: String,
}

/// The messages of an event stream, one after the other.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    /// The next message; also the only one of a JSON answer.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return serde_json::from_str(&data).unwrap(),
                    None => continue,
                }
            }
            match self.response.chunk().await.unwrap() {
                Some(piece) => self.text.push_str(std::str::from_utf8(&piece).unwrap()),
                None => return serde_json::from_str(&self.text).unwrap(),
            }
        }
    }
}

impl Client {
    pub(crate) async fn begin(gateway: &TestGateway, path: &str, capabilities: Value) -> Self {
        let params = json!({
            "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": {"name": "c", "version": "1"},
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
        let response = gateway.send(path, &[], body).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let url = format!("{}{path}", gateway.url);
        let client = Self { http: reqwest::Client::new(), url, session };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(initialized).await.status(), 202);
        client
    }

    fn request(&self, method: Method) -> reqwest::RequestBuilder {
        self.http
            .request(method, &self.url)
            .header("mcp-session-id", &self.session)
            .header("mcp-protocol-version", "2025-06-18")
            .header("accept", "application/json, text/event-stream")
    }

    pub(crate) async fn post(&self, message: Value) -> reqwest::Response {
        let request = self.request(Method::POST).header("content-type", "application/json");
        request.body(message.to_string()).send().await.unwrap()
    }

    pub(crate) async fn stream(&self, method: &str, params: Value) -> Stream {
        let response =
            self.post(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await;
        Stream { response, text: String::new() }
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.stream(method, params).await.next().await
    }

    pub(crate) async fn send(&self, method: Method) -> reqwest::Response {
        self.request(method).send().await.unwrap()
    }
}

#[tokio::test]
async fn any_replica_with_the_same_key_serves_a_session_in_the_upstreams_one_session() {
    let (peer, url) = Peer::start(false).await;
    let upstreams = [("peer", at(&url, &[]))];
    let shared = |settings: &mut mesh_gateway::Settings| settings.session_key = Some(Secret::new("key"));
    let (first, second) =
        (TestGateway::with(&upstreams, shared).await, TestGateway::with(&upstreams, shared).await);
    let client = Client::begin(&first, "/mcp/peer", json!({})).await;
    let other = Client {
        http: client.http.clone(),
        url: format!("{}/mcp/peer", second.url),
        session: client.session.clone(),
    };
    for client in [&client, &other, &client] {
        let answer = client.ask("tools/call", json!({"name": "plain", "arguments": {}})).await;
        assert!(answer["result"].is_object(), "{answer}");
    }
    let sessions: Vec<_> = peer.seen("tools/call").iter().map(|(h, _)| h["mcp-session-id"].clone()).collect();
    assert!(sessions.windows(2).all(|two| two[0] == two[1]), "{sessions:?}");
    let stranger = TestGateway::start(&upstreams).await;
    let stray = Client { url: format!("{}/mcp/peer", stranger.url), ..other };
    let refused = stray.post(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(refused.status(), 404);
}

#[tokio::test]
async fn a_session_ends_with_delete_at_the_upstream_too() {
    let (peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    gateway.tools("/mcp/peer").await;
    let before = peer.sessions();
    let client = Client::begin(&gateway, "/mcp/peer", json!({"roots": {}})).await;
    assert_eq!(peer.sessions(), before + 1);
    assert_eq!(client.send(Method::DELETE).await.status(), 204);
    assert_eq!(peer.sessions(), before);
    assert_eq!(client.send(Method::DELETE).await.status(), 404);
    let refused = client.post(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(refused.status(), 404);
}

#[tokio::test]
async fn a_client_whose_upstream_forgot_the_session_is_told_to_begin_again() {
    let (peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    let client = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    peer.forget_sessions();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "plain"}});
    assert_eq!(client.post(call.clone()).await.status(), 404);
    let again = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    assert_eq!(again.post(call).await.status(), 200);
}

#[tokio::test]
async fn a_call_ends_when_its_client_says_so() {
    let (peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    let client = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    let hanging =
        client.post(json!({"jsonrpc": "2.0", "id": "h", "method": "tools/call", "params": {"name": "hang"}}));
    tokio::pin!(hanging);
    assert!(futures_util::poll!(&mut hanging).is_pending());
    let wait = async {
        eventually(|| !peer.seen("tools/call").is_empty()).await;
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "h"}});
        client.post(cancel).await
    };
    let (hanging, cancelled) = tokio::join!(hanging, wait);
    assert_eq!((hanging.status().as_u16(), cancelled.status().as_u16()), (202, 202));
    eventually(|| !peer.seen("notifications/cancelled").is_empty()).await;
    assert_eq!(gateway.records(1).await[0].outcome, mesh_policy::Outcome::ClientGone);
}

#[tokio::test]
async fn a_log_level_goes_to_the_sessions_upstream() {
    let (peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    let client = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    assert_eq!(client.ask("logging/setLevel", json!({"level": "error"})).await["result"], json!({}));
    assert_eq!(client.ask("logging/setLevel", json!({"level": "loud"})).await["error"]["code"], -32602);
    let told: Vec<(HeaderMap, Value)> = peer.seen("logging/setLevel");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1["params"]["level"], "error");
}
