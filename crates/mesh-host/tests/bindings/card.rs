use crate::support::{Served, read, request};
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use mesh_card::{Algorithm, PrivateKey, PublicKey, Reading, signatures, verify};
use serde_json::{Value, json};

const CARD: &str = "/.well-known/agent-card.json";
const KEYS: &str = "/.well-known/jwks.json";

/// An agent whose card is signed, and whose extended card says more.
async fn signed(more: &str) -> (Served, PrivateKey, tempfile::TempDir) {
    let (key, pem) = PrivateKey::generate(Algorithm::Es256).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.pem");
    std::fs::write(&file, pem).unwrap();
    let card = format!("    card:\n      signing: {{ key_file: {file:?} }}\n{more}");
    (Served::with(&card).await, key, folder)
}

const EXTENDED: &str = "      extended: { description: For partners, skills: [{ id: discount }] }\n";

/// As a client that says no version, or one.
async fn get(served: &Served, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = served.call(request.body(Body::empty()).unwrap()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, headers, json)
}

fn readings(card: &Value, key: &PublicKey) -> Vec<Reading> {
    let each = signatures(card).into_iter().map(|claimed| verify(card, &claimed.unwrap(), key).unwrap());
    each.collect()
}

#[tokio::test]
async fn a_client_of_1_0_gets_the_plain_card_with_one_signature_that_every_reading_finds() {
    let (served, key, _folder) = signed("").await;
    let (_, headers, card) = get(&served, CARD, &[("a2a-version", "1.0")]).await;
    assert_eq!((card.get("url"), card.get("protocolVersion")), (None, None));
    let vary: Vec<_> = headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.contains(&"a2a-version"), "{vary:?}");
    assert_eq!(readings(&card, &PublicKey::Jwk(key.public())), [Reading::Whole]);
    for reading in Reading::ALL {
        assert_eq!(reading.payload(&card), Reading::Whole.payload(&card));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_client_that_says_no_version_gets_the_fields_of_both_and_signatures_for_both_readings() {
    let (served, key, _folder) = signed("").await;
    let (_, _, card) = get(&served, CARD, &[]).await;
    assert_eq!(card["protocolVersion"], "0.3.0");
    assert_eq!(readings(&card, &PublicKey::Jwk(key.public())), [Reading::Known, Reading::Whole]);
    served.stop().await;
}

#[tokio::test]
async fn the_signature_names_a_key_that_the_agent_publishes() {
    let (served, key, _folder) = signed("").await;
    let (_, _, card) = get(&served, CARD, &[]).await;
    let claimed = signatures(&card)[0].clone().unwrap();
    assert_eq!(claimed.jku.as_deref(), Some("http://127.0.0.1:8090/.well-known/jwks.json"));
    assert_eq!((&*claimed.alg, &claimed.kid), ("ES256", &key.public().thumbprint()));
    let (status, headers, keys) = get(&served, KEYS, &[]).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/jwk-set+json".parse().unwrap())
    );
    let key = &keys["keys"][0];
    assert_eq!((&key["kid"], &key["use"], key.get("d")), (&json!(claimed.kid), &json!("sig"), None));
    let public = PublicKey::read(&keys.to_string());
    assert!(verify(&card, &claimed, &public[0]).is_ok());
    served.stop().await;
}

#[tokio::test]
async fn an_agent_without_a_key_signs_nothing_and_publishes_no_keys() {
    let served = Served::start().await;
    assert_eq!(get(&served, CARD, &[]).await.2.get("signatures"), None);
    assert_eq!(get(&served, KEYS, &[]).await.0, StatusCode::NOT_FOUND);
    served.stop().await;
}

#[tokio::test]
async fn a_card_that_is_known_is_not_sent_again_and_each_form_has_a_tag_of_its_own() {
    let (served, _, _folder) = signed("").await;
    let (_, old, _) = get(&served, CARD, &[]).await;
    let (_, new, card) = get(&served, CARD, &[("a2a-version", "1.0")]).await;
    assert_ne!(old["etag"], new["etag"]);
    assert_eq!(get(&served, CARD, &[("a2a-version", "1.0")]).await.2, card, "signed once");
    let tag = new["etag"].to_str().unwrap();
    assert_eq!(new["cache-control"], "public, max-age=60");
    let strong = tag.trim_start_matches("W/");
    for known in [tag, strong, &format!("\"x\", {tag}"), "*"] {
        let (status, headers, body) =
            get(&served, CARD, &[("a2a-version", "1.0"), ("if-none-match", known)]).await;
        assert_eq!(
            (status, body, &headers["etag"]),
            (StatusCode::NOT_MODIFIED, Value::Null, &new["etag"]),
            "{known}"
        );
    }
    for other in ["\"x\"", old["etag"].to_str().unwrap(), ""] {
        let (status, ..) = get(&served, CARD, &[("a2a-version", "1.0"), ("if-none-match", other)]).await;
        assert_eq!(status, StatusCode::OK, "{other}");
    }
    let head = served.call(request("HEAD", CARD, "")).await;
    assert_eq!((head.status(), &head.headers()["etag"]), (StatusCode::OK, &new["etag"]));
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    served.stop().await;
}

#[tokio::test]
async fn an_extended_card_adds_to_the_public_one_in_every_binding_over_http() {
    let (served, key, _folder) = signed(EXTENDED).await;
    let (_, _, public) = get(&served, CARD, &[("a2a-version", "1.0")]).await;
    assert_eq!(public["capabilities"]["extendedAgentCard"], true);
    let response = served.call(request("GET", "/extendedAgentCard", "")).await;
    assert_eq!(response.headers()["cache-control"], "private, max-age=60");
    let (status, rest) = read(response).await;
    assert_eq!((status, &rest["description"]), (StatusCode::OK, &json!("For partners")));
    let ids: Vec<&Value> = rest["skills"].as_array().unwrap().iter().map(|skill| &skill["id"]).collect();
    assert_eq!(ids.last().unwrap(), &"discount");
    assert_eq!(ids.len(), public["skills"].as_array().unwrap().len() + 1);
    assert_eq!(readings(&rest, &PublicKey::Jwk(key.public())), [Reading::Whole]);

    let rpc = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (_, answer) = served.post("/", &rpc("GetExtendedAgentCard", json!({}))).await;
    assert_eq!(answer["result"], rest);
    let (_, answer) = served.post("/", &rpc("GetExtendedAgentCard", json!({ "tenant": "other" }))).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(served.get("/other/extendedAgentCard").await.0, StatusCode::BAD_REQUEST);

    let old = Request::post("/").header("content-type", "application/json");
    let body = rpc("agent/getAuthenticatedExtendedCard", json!(null)).to_string();
    let (_, answer) = read(served.call(old.body(Body::from(body)).unwrap()).await).await;
    assert_eq!(
        (&answer["result"]["description"], &answer["result"]["supportsAuthenticatedExtendedCard"]),
        (&json!("For partners"), &json!(true))
    );
    served.stop().await;
}
