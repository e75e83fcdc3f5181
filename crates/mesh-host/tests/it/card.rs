use crate::support::{Bench, body, script};
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;

#[tokio::test]
async fn the_card_says_what_the_worker_declares_and_a_known_one_is_not_sent_again() {
    let ready = r#"echo '{"type":"ready","card":{"description":"from the worker","skills":[{"id":"sell","tags":["x"]}]}}'; cat > /dev/null"#;
    let mut settings = script(ready);
    settings.agent.card.name = Some("Configured".to_owned());
    let bench = Bench::start(settings).await.ready().await;
    let get = || Request::get("/.well-known/agent-card.json");
    let (headers, text) = body(bench.request(get().body(Body::empty()).unwrap()).await).await;
    let card: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (card["name"].as_str(), card["description"].as_str()),
        (Some("Configured"), Some("from the worker"))
    );
    assert_eq!(
        (card["skills"][0]["id"].as_str(), card["skills"][0]["name"].as_str()),
        (Some("sell"), Some("sell"))
    );
    let known = get().header("if-none-match", &headers["etag"]).body(Body::empty()).unwrap();
    let again = bench.request(known).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(body(again).await.1.is_empty());
}

#[tokio::test]
async fn a_card_has_all_that_it_must_have_also_where_nobody_said_anything() {
    let bench =
        Bench::start(script(r#"echo '{"type":"ready","card":{}}'; cat > /dev/null"#)).await.ready().await;
    let get = Request::get("/.well-known/agent-card.json").body(Body::empty()).unwrap();
    let card: Value = serde_json::from_slice(&body(bench.request(get).await).await.1).unwrap();
    let skill = &card["skills"][0];
    for text in [&card["name"], &card["description"], &skill["id"], &skill["name"], &skill["description"]] {
        assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{card}");
    }
    assert_eq!(skill["tags"], serde_json::json!([skill["id"]]));
}
