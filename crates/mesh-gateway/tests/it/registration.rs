//! Agents that register themselves.

use crate::support::TestGateway;
use mesh_core::{Clock, MemoryShelf, Shelf, Timestamp};
use mesh_gateway::{AgentSite, Settings};
use mesh_policy::Outcome;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is told otherwise.
struct Hands(AtomicI64);

impl Hands {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Registry {
    gateway: TestGateway,
    clock: Arc<Hands>,
    shelf: Arc<MemoryShelf>,
}

async fn registry(tweak: impl FnOnce(&mut Settings)) -> Registry {
    let (clock, shelf) = (Arc::new(Hands(AtomicI64::new(1_000_000))), Arc::new(MemoryShelf::new()));
    let gateway = TestGateway::wired(&[], tweak, clock.clone(), shelf.clone() as Arc<dyn Shelf>).await;
    Registry { gateway, clock, shelf }
}

impl Registry {
    async fn put(&self, name: &str, headers: &[(&str, &str)], body: Value) -> reqwest::Response {
        let mut request = self.gateway.client.put(format!("{}/agents/{name}", self.gateway.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_string()).send().await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let list = self.gateway.client.get(format!("{}/agents", self.gateway.url)).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        list["agents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|agent| agent["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn card() -> Value {
    json!({"card": {
        "name": "W", "description": "Writes letters", "skills": [{"id": "w", "tags": ["prose"]}],
        "supportedInterfaces": [{"url": "http://127.0.0.1:1/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    }, "tags": ["text"], "leaseSeconds": 30})
}

fn tag(response: &reqwest::Response) -> String {
    response.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_is_there_until_its_lease_ends_unless_it_is_renewed() {
    let registry = registry(|_| {}).await;
    let entered = registry.put("writer", &[("if-none-match", "*")], card()).await;
    assert_eq!(entered.status(), 201);
    let first = tag(&entered);
    assert_eq!(registry.names().await, ["writer"]);
    registry.clock.advance(Duration::from_secs(29));
    let renewed = registry.put("writer", &[("if-match", &first)], card()).await;
    assert_eq!(renewed.status(), 200);
    assert_ne!(tag(&renewed), first);
    registry.clock.advance(Duration::from_secs(29));
    assert_eq!(registry.names().await, ["writer"]);
    registry.clock.advance(Duration::from_secs(2));
    assert!(registry.names().await.is_empty());
    let url = format!("{}/agents/writer/.well-known/agent-card.json", registry.gateway.url);
    assert_eq!(registry.gateway.client.get(url).send().await.unwrap().status(), 404);
    let again = registry.put("writer", &[("if-none-match", "*")], card()).await;
    assert_eq!(again.status(), 201, "what has expired is in nobody's way");
}

#[tokio::test]
async fn its_card_has_the_gateways_address_and_it_is_found_by_its_words() {
    let registry = registry(|settings| settings.public_url = Some("https://mesh.example/p/".into())).await;
    registry.put("writer", &[], card()).await;
    let (client, url) = (&registry.gateway.client, &registry.gateway.url);
    let served = client.get(format!("{url}/agents/writer/.well-known/agent-card.json")).send().await.unwrap();
    let served: Value = served.json().await.unwrap();
    assert_eq!(served["supportedInterfaces"][0]["url"], "https://mesh.example/p/agents/writer");
    let search = |text: &str| {
        let body = json!({"query": {"text": text}}).to_string();
        let request = client.post(format!("{url}/search")).body(body);
        async { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let found = search("prose").await;
    assert_eq!(found["results"][0]["name"], "writer");
    assert!(found["results"][0]["score"].as_f64().unwrap() > 0.0);
    assert_eq!(search("spreadsheet").await["results"], json!([]));
    let filtered = client.get(format!("{url}/agents?filter=tags%3Dnone")).send().await.unwrap();
    assert_eq!(filtered.text().await.unwrap(), r#"{"agents":[]}"#);
    let wrong = client.get(format!("{url}/agents?filter=secret%3D1")).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn of_many_that_enter_or_change_at_once_one_wins() {
    let registry = registry(|_| {}).await;
    let enter = || registry.put("writer", &[("if-none-match", "*")], card());
    let mut answers = futures_util::future::join_all((0..16).map(|_| enter())).await;
    answers.sort_by_key(reqwest::Response::status);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses[1..].iter().all(|status| *status == 412), "{statuses:?}");
    let tag = tag(&answers[0]);
    let named = [("if-match", tag.as_str())];
    let change = || registry.put("writer", &named, card());
    let answers = futures_util::future::join_all((0..16).map(|_| change())).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 1);
}

#[tokio::test]
async fn only_who_entered_an_agent_takes_it_back_and_what_is_configured_stays() {
    let site = AgentSite { name: "sales".into(), url: "http://127.0.0.1:1".into(), ..AgentSite::default() };
    let registry = registry(|settings| settings.agents = vec![site]).await;
    assert_eq!(registry.put("sales", &[], card()).await.status(), 409);
    assert_eq!(registry.put("Wrong_Name", &[], card()).await.status(), 400);
    assert_eq!(registry.put("writer", &[("agentmesh-tenant", "other")], card()).await.status(), 403);
    assert_eq!(registry.put("writer", &[("agentmesh-agent", "writer")], card()).await.status(), 201);
    assert_eq!(registry.put("writer", &[], card()).await.status(), 403);
    let delete = |agent: &'static str| {
        let request = registry.gateway.client.delete(format!("{}/agents/writer", registry.gateway.url));
        async move { request.header("agentmesh-agent", agent).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(delete("other").await, 403);
    assert_eq!(delete("writer").await, 204);
    assert_eq!(delete("writer").await, 404);
    assert_eq!(registry.names().await, ["sales"]);
    let records = registry.gateway.records(8).await;
    assert!(records.iter().all(|record| record.action == "agent/register"));
    assert_eq!(records.iter().filter(|record| record.outcome == Outcome::Ok).count(), 2);
}

#[tokio::test]
async fn nobody_makes_the_gateway_call_what_only_it_can_reach() {
    let registry = registry(|settings| settings.directory.allow = Some(vec!["10.1.0.0/16".into()])).await;
    for url in
        ["http://127.0.0.1:9", "https://127.0.0.1/", "https://169.254.169.254/", "http://agent.example/"]
    {
        let refused = registry.put("writer", &[], json!({"url": url})).await;
        assert_eq!(refused.status(), 400, "{url}");
        let why = refused.text().await.unwrap();
        assert!(why.contains("directory.allow"), "{why}");
    }
    assert_eq!(registry.put("writer", &[], card()).await.status(), 400, "nor by its card");
    assert_eq!(registry.put("writer", &[], json!({"url": "http://10.1.2.3/"})).await.status(), 201);
    // A name is looked at when it is called.
    assert_eq!(registry.put("local", &[], json!({"url": "https://localhost:9/"})).await.status(), 201);
    let body = r#"{"id":1,"method":"SendMessage"}"#;
    let answer: Value = registry.gateway.send("/agents/local", &[], body).await.json().await.unwrap();
    assert_eq!(answer["error"]["code"], -31503);
}

#[tokio::test]
async fn bounds_are_kept_and_registration_can_be_switched_off() {
    let registry = registry(|settings| settings.directory.registered = 1).await;
    assert_eq!(registry.put("one", &[], card()).await.status(), 201);
    assert_eq!(registry.put("two", &[], card()).await.status(), 429);
    assert_eq!(registry.put("one", &[], card()).await.status(), 200);
    let large = json!({"url": "http://127.0.0.1:1", "description": "x".repeat(300 << 10)});
    assert_eq!(registry.put("one", &[], large).await.status(), 413);
    let off = super::registration::registry(|settings| settings.directory.registration = false).await;
    assert_eq!(off.put("one", &[], card()).await.status(), 403);
}

#[tokio::test]
async fn another_replica_of_the_gateway_learns_of_it_from_the_shelf() {
    let registry = registry(|_| {}).await;
    registry.put("writer", &[], card()).await;
    let shelf = Arc::clone(&registry.shelf) as Arc<dyn Shelf>;
    let look = |settings: &mut Settings| settings.directory.health_interval = Some(Duration::from_millis(20));
    let second = TestGateway::wired(&[], look, registry.clock.clone(), shelf).await;
    let second =
        Registry { gateway: second, clock: registry.clock.clone(), shelf: Arc::clone(&registry.shelf) };
    while second.names().await.is_empty() {
        tokio::task::yield_now().await;
    }
    registry.clock.advance(Duration::from_secs(60));
    assert!(second.names().await.is_empty());
}

#[tokio::test]
async fn what_was_kept_under_another_rule_is_not_called() {
    let registry = registry(|_| {}).await;
    let asked = Arc::new(AtomicI64::new(0));
    let count = Arc::clone(&asked);
    let answer = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { "{}" }
    };
    let url = crate::support::serve(axum::Router::new().fallback(answer)).await;
    assert_eq!(registry.put("inside", &[], json!({"url": url})).await.status(), 201);
    let strict = |settings: &mut Settings| {
        settings.directory.allow = Some(Vec::new());
        settings.directory.health_interval = Some(Duration::from_secs(3600));
    };
    let shelf = Arc::clone(&registry.shelf) as Arc<dyn Shelf>;
    let second = TestGateway::wired(&[], strict, registry.clock.clone(), shelf).await;
    let second =
        Registry { gateway: second, clock: registry.clock.clone(), shelf: Arc::clone(&registry.shelf) };
    while second.names().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let card = format!("{}/agents/inside/.well-known/agent-card.json", second.gateway.url);
    assert_eq!(second.gateway.client.get(card).send().await.unwrap().status(), 503);
    let answer = second.gateway.send("/agents/inside", &[], r#"{"id":1,"method":"SendMessage"}"#).await;
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], -31503);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
