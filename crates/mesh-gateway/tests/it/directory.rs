//! The directory of agents.

use crate::support::{TestGateway, serve};
use axum::response::Response;
use mesh_gateway::AgentSite;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Host {
    down: AtomicBool,
    asked: AtomicUsize,
    unchanged: AtomicUsize,
    card: Mutex<String>,
}

async fn host() -> (Arc<Host>, String) {
    let host = Arc::new(Host::default());
    let card = json!({"name": "Sales", "description": "Sells.", "skills": [{"id": "sell"}], "x": 1.0});
    *host.card.lock().unwrap() = card.to_string();
    let state = Arc::clone(&host);
    let serve_card = move |headers: http::HeaderMap| {
        let state = Arc::clone(&state);
        async move {
            state.asked.fetch_add(1, Ordering::Relaxed);
            let response = Response::builder().header("etag", "\"1\"").header("cache-control", "max-age=0");
            if state.down.load(Ordering::Relaxed) {
                response.status(500).body(String::new())
            } else if headers.get("if-none-match").is_some_and(|tag| tag == "\"1\"") {
                state.unchanged.fetch_add(1, Ordering::Relaxed);
                response.status(304).body(String::new())
            } else {
                response.body(state.card.lock().unwrap().clone())
            }
            .unwrap()
        }
    };
    let router = axum::Router::new().route("/.well-known/agent-card.json", axum::routing::get(serve_card));
    let url = serve(router).await;
    (host, url)
}

async fn gateway(url: &str) -> TestGateway {
    let site =
        |name: &str, url: &str| AgentSite { name: name.into(), url: url.into(), ..AgentSite::default() };
    let agents = vec![site("sales", url), site("absent", "http://127.0.0.1:1")];
    TestGateway::with(&[], move |settings| {
        settings.agents = agents;
        settings.card_ttl = Duration::from_secs(30);
    })
    .await
}

async fn get(gateway: &TestGateway, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, String) {
    let mut request = gateway.client.get(format!("{}{path}", gateway.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

const CARD: &str = "/agents/sales/.well-known/agent-card.json";

#[tokio::test]
async fn agents_are_listed_with_their_cards() {
    let (_host, url) = host().await;
    let gateway = gateway(&url).await;
    let (status, _, text) = get(&gateway, "/agents", &[]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    let sales = &list["agents"][1];
    assert_eq!(
        (&sales["name"], &sales["description"], &sales["url"]),
        (&json!("sales"), &json!("Sells."), &json!(url))
    );
    assert_eq!(sales["skills"], json!([{"id": "sell"}]));
    assert_eq!(sales["cardUrl"], format!("{}{CARD}", gateway.url));
    assert_eq!((&list["agents"][0]["name"], &list["agents"][0]["known"]), (&json!("absent"), &json!(false)));

    let (_, _, text) = get(&gateway, "/.well-known/ai-catalog.json", &[]).await;
    let catalog: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(catalog["entries"][1]["identifier"], "urn:air:agentmesh:default:sales");
    assert_eq!(catalog["entries"][1]["mediaType"], "application/a2a-agent-card+json");

    let (status, _, text) = get(&gateway, "/agents", &[("agentmesh-tenant", "other")]).await;
    assert_eq!((status, text.as_str()), (200, r#"{"agents":[]}"#));
    assert_eq!(get(&gateway, CARD, &[("agentmesh-tenant", "other")]).await.0, 404);
    assert_eq!(get(&gateway, "/agents", &[("origin", "https://evil.example")]).await.0, 403);
}

#[tokio::test]
async fn a_card_is_served_as_it_is_revalidated_and_kept_while_the_agent_is_down() {
    let (host, url) = host().await;
    let gateway = gateway(&url).await;
    let (status, headers, text) = get(&gateway, CARD, &[]).await;
    assert_eq!((status, &text), (200, &*host.card.lock().unwrap()));
    let tag = headers["etag"].to_str().unwrap();
    assert_eq!(get(&gateway, CARD, &[("if-none-match", tag)]).await.0, 304);
    assert_eq!(host.unchanged.load(Ordering::Relaxed), 1, "the host says that it may not be kept");
    host.down.store(true, Ordering::Relaxed);
    let asked = host.asked.load(Ordering::Relaxed);
    for _ in 0..5 {
        assert_eq!(get(&gateway, CARD, &[]).await.2, text);
    }
    assert_eq!(
        host.asked.load(Ordering::Relaxed),
        asked + 1,
        "a host that is down is left alone for a while"
    );
    assert_eq!(get(&gateway, "/agents/absent/.well-known/agent-card.json", &[]).await.0, 503);
    assert_eq!(get(&gateway, "/agents/nobody/.well-known/agent-card.json", &[]).await.0, 404);
}
