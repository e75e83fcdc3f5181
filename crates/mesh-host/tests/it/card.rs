use crate::support::{Bench, body, host, script};
use axum::body::Body;
use http::{Request, StatusCode};
use mesh_log::MemoryLog;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::sync::Arc;

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
async fn the_card_says_what_is_switched_on_and_has_everything_that_is_required() {
    let ready = r#"echo '{"type":"ready","card":{"version":"2.3","inputModes":["text/csv"],"outputModes":[""]}}'; cat > /dev/null"#;
    let mut settings = script(ready);
    settings.push.per_task = 0;
    let bench = Bench::start(settings).await.ready().await;
    let get = Request::get("/.well-known/agent-card.json").body(Body::empty()).unwrap();
    let card: Value = serde_json::from_slice(&body(bench.request(get).await).await.1).unwrap();
    let capabilities = &card["capabilities"];
    assert_eq!(
        (&capabilities["pushNotifications"], &capabilities["extendedAgentCard"]),
        (&false.into(), &false.into())
    );
    assert_eq!(
        (card["version"].as_str(), card["defaultInputModes"][0].as_str()),
        (Some("2.3"), Some("text/csv"))
    );
    assert_eq!(card["defaultOutputModes"][0].as_str(), Some("text/plain"));
    assert_eq!(card.get("securitySchemes"), None);
    let skill = &card["skills"][0];
    for required in ["id", "name", "description"] {
        assert!(skill[required].as_str().is_some_and(|text| !text.is_empty()), "{required}: {skill}");
    }
    assert!(skill["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{skill}");
}

#[tokio::test]
async fn a_key_that_cannot_sign_stops_the_start_and_is_not_shown() {
    let mut settings = script("cat");
    let key = mesh_config::Secret::new("not a key");
    settings.agent.card.signing =
        Some(mesh_config::Signing { key: Some(key), key_file: None, kid: None, jku: None });
    let error =
        host(settings, Arc::new(MemoryLog::new()), &mut Registry::default()).err().unwrap().to_string();
    assert!(
        error.starts_with("agents.") && error.contains(".card.signing.key holds no private key"),
        "{error}"
    );
    assert!(!error.contains("not a key"), "{error}");
}
