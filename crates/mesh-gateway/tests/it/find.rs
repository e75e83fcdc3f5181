//! Finding tools over HTTP.

use crate::support::{TestGateway, echo};
use serde_json::{Value, json};

async fn start() -> TestGateway {
    let text = r#"tools: { crm: { command: [x], category: sales, tags: [people], tools: { meta: { hidden: true }, fail: { category: Ledger, tags: [invoices], description: Breaks invoices on purpose } } } }"#;
    let mesh = mesh_config::parse(text, "mesh.yaml", &mesh_config::LoadOptions::new(&|_| None)).unwrap();
    let crm = &mesh.tools["crm"];
    let upstream = mesh_config::Upstream {
        selection: crm.selection.clone(),
        category: crm.category.clone(),
        tags: crm.tags.clone(),
        ..echo(&[])
    };
    TestGateway::start(&[("crm", upstream), ("erp", echo(&[]))]).await
}

async fn get(gateway: &TestGateway, query: &str) -> (u16, Value) {
    let response = gateway.client.get(format!("{}/tools{query}", gateway.url)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn names(answer: &Value) -> Vec<&str> {
    answer["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_need_in_words_finds_tools_with_the_reason() {
    let gateway = start().await;
    let (status, answer) = get(&gateway, "?query=an+invoice+that+breaks").await;
    assert_eq!((status, names(&answer)), (200, vec!["crm_fail"]));
    let tool = &answer["tools"][0];
    assert_eq!((&tool["upstream"], &tool["tool"]), (&json!("crm"), &json!("fail")));
    assert_eq!(tool["reason"][0], json!({"word": "invoice", "fields": ["description", "tags"]}));
    assert!(tool["score"].as_f64().unwrap() > 0.0);
    assert!(tool["fingerprint"].as_str().unwrap().starts_with("sha256:") && tool.get("hiddenText").is_none());
    assert_eq!(names(&get(&gateway, "?query=unheard").await.1), Vec::<&str>::new());
}

#[tokio::test]
async fn tools_are_chosen_by_category_and_tag_and_hidden_ones_are_not_found() {
    let gateway = start().await;
    let (_, ledger) = get(&gateway, "?category=ledger&tag=Invoices&tag=people").await;
    assert_eq!(names(&ledger), ["crm_fail"]);
    let (_, sales) = get(&gateway, "?category=sales").await;
    assert!(names(&sales).contains(&"crm_echo") && !names(&sales).iter().any(|name| name.starts_with("erp")));
    for query in ["", "?query=meta"] {
        assert!(!names(&get(&gateway, query).await.1).contains(&"crm_meta"), "{query}");
    }
    let (_, one) = get(&gateway, "?query=echo&limit=1").await;
    assert_eq!((names(&one).len(), &one["total"]), (1, &json!(2)));
}

#[tokio::test]
async fn a_bad_limit_is_refused_and_another_tenant_finds_nothing() {
    let gateway = start().await;
    for bad in ["?limit=0", "?limit=x", "?limit=1001"] {
        assert_eq!(get(&gateway, bad).await.0, 400, "{bad}");
    }
    let other = gateway.client.get(format!("{}/tools", gateway.url)).header("agentmesh-tenant", "other");
    let answer: Value = other.send().await.unwrap().json().await.unwrap();
    assert!(names(&answer).is_empty());
    assert!(!names(&get(&gateway, "").await.1).is_empty());
}
