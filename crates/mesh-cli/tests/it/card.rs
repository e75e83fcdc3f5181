//! `card show`, `card verify` and `card keygen`.

use crate::support::{Server, agentmesh, error};
use mesh_card::{Algorithm, Jwk, PrivateKey, Signing, sign};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

fn card() -> Value {
    json!({
        "name": "Sales", "description": "Writes proposals\u{1b}[2J", "version": "2.0",
        "supportedInterfaces": [{ "url": "http://h/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "capabilities": {
            "streaming": true, "extendedAgentCard": false,
            "extensions": [{ "uri": "urn:a", "required": true }, { "uri": "urn:b" }],
        },
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{ "id": "proposal", "name": "Proposals", "description": "Offers for customers", "tags": ["sales"] }],
    })
}

/// A server with a card that is signed, and publishes its key.
async fn signed(card: Value) -> (Server, PrivateKey) {
    let server = Server::start(|_| error(-32601, "no")).await;
    let (key, _) = PrivateKey::generate(Algorithm::Es256).unwrap();
    put(&server, &key, card, &format!("{}/.well-known/jwks.json", server.url()));
    (server, key)
}

fn put(server: &Server, key: &PrivateKey, mut card: Value, jku: &str) {
    sign(&mut card, Signing { key, kid: "one", jku }).unwrap();
    server.set_card(card);
    server.set_keys(json!({ "keys": [Jwk { kid: Some("one".to_owned()), ..key.public() }] }));
}

#[tokio::test]
async fn a_card_is_shown_to_people_and_as_it_is() {
    let (server, _) = signed(card()).await;
    let run = agentmesh(&["card", "show", server.url()]).run().await;
    insta::assert_snapshot!("card-show", run);
    let run = agentmesh(&["-o", "json", "card", "show", "sales", "--gateway", server.url()]).run().await;
    assert_eq!(run.json()["skills"][0]["id"], "proposal");
}

#[tokio::test]
async fn a_card_is_verified_with_the_key_that_its_own_origin_publishes() {
    let (server, _) = signed(card()).await;
    let run = agentmesh(&["card", "verify", server.url()]).run().await;
    assert_eq!(
        server.redact(&run),
        "exit: 0\n--- stdout\nSales: signed with ES256 by key one\n\
         the key is from http://SERVER/.well-known/jwks.json\n--- stderr\n"
    );
    let run = agentmesh(&["card", "verify", server.url(), "-o", "json"]).run().await;
    let document = run.json();
    assert_eq!((&document["verified"], &document["not_covered"]), (&json!(true), &json!([])));
    assert_eq!(document["signatures"][0]["covers"], "every field");
}

#[tokio::test]
async fn a_card_that_was_changed_is_exit_status_1() {
    let (server, key) = signed(card()).await;
    let mut changed = card();
    sign(&mut changed, Signing { key: &key, kid: "one", jku: "http://nowhere.example/" }).unwrap();
    changed["name"] = json!("Evil");
    server.set_card(changed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    std::fs::write(&file, serde_json::to_string(&key.public()).unwrap()).unwrap();
    let file = file.to_str().unwrap();
    let run = agentmesh(&["card", "verify", server.url(), "--key", file]).run().await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("the key did not sign this card") && run.stdout.is_empty(), "{run}");
    let run = agentmesh(&["-o", "json", "card", "verify", server.url(), "--key", file]).run().await;
    assert_eq!((run.code, &run.json()["verified"]), (Some(1), &json!(false)));
}

#[tokio::test]
async fn a_key_of_somebody_else_is_taken_only_when_the_user_says_so() {
    let (server, _) = signed(card()).await;
    let elsewhere = Server::start(|_| error(-32601, "no")).await;
    let (key, pem) = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    put(&elsewhere, &key, card(), "http://unused.example/");
    put(&server, &key, card(), &format!("{}/.well-known/jwks.json", elsewhere.url()));
    let run = agentmesh(&["card", "verify", server.url()]).run().await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("not where the card is") && run.stderr.contains("--key FILE"), "{run}");
    let run = agentmesh(&["card", "verify", server.url(), "--trust-jku"]).run().await;
    assert_eq!(run.code, Some(0), "{run}");
    // A private key is not a public one.
    let run = agentmesh(&["card", "verify", server.url(), "--key", "-"]).input(&pem).run().await;
    assert_eq!(run.code, Some(2), "{run}");
    assert!(!run.stderr.contains(pem.lines().nth(1).unwrap()), "{run}");
}

#[tokio::test]
async fn what_a_signature_does_not_cover_is_said() {
    let (server, key) = signed(card()).await;
    let mut old = card();
    sign(
        &mut old,
        Signing { key: &key, kid: "one", jku: &format!("{}/.well-known/jwks.json", server.url()) },
    )
    .unwrap();
    old["url"] = json!("http://evil.example/");
    server.set_card(old);
    let run = agentmesh(&["card", "verify", server.url()]).run().await;
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("the signature says nothing of url"), "{run}");
}

#[tokio::test]
async fn no_signature_no_key_and_nobody_there_have_their_exit_statuses() {
    let (server, _) = signed(card()).await;
    server.set_keys(json!({ "keys": [] }));
    let run = agentmesh(&["card", "verify", server.url()]).run().await;
    assert!(run.code == Some(1) && run.stderr.contains("has no key of that name"), "{run}");
    server.set_card(card());
    let run = agentmesh(&["card", "verify", server.url()]).run().await;
    assert!(run.code == Some(1) && run.stderr.contains("is not signed"), "{run}");
    let none = json!({ "protected": "eyJhbGciOiJub25lIiwia2lkIjoiayJ9", "signature": "" });
    let mut forged = card();
    forged["signatures"] = json!([none]);
    server.set_card(forged);
    let run = agentmesh(&["card", "verify", server.url(), "--trust-jku"]).run().await;
    assert!(run.code == Some(1) && run.stderr.contains("its algorithm is `none`"), "{run}");
    let run = agentmesh(&["card", "verify", "http://127.0.0.1:1"]).run().await;
    assert_eq!(run.code, Some(3), "{run}");
    let run = agentmesh(&["card", "verify", server.url(), "--key", "/nowhere"]).run().await;
    assert_eq!(run.code, Some(2), "{run}");
}

#[tokio::test]
async fn a_new_key_is_for_its_owner_only_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.pem");
    let path = file.to_str().unwrap();
    for algorithm in ["es256", "eddsa"] {
        let run = agentmesh(&["card", "keygen", path, "--algorithm", algorithm]).run().await;
        assert_eq!(run.code, Some(0), "{run}");
        let public: Jwk = serde_json::from_str(&run.stdout).unwrap();
        let pem = std::fs::read_to_string(&file).unwrap();
        let key = PrivateKey::from_pem(&pem).unwrap();
        assert_eq!((key.public().x, public.kid), (public.x, Some(key.public().thumbprint())));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = agentmesh(&["card", "keygen", path]).run().await;
        assert!(again.code == Some(2) && again.stderr.contains("is there already"), "{again}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), pem);
        std::fs::remove_file(&file).unwrap();
    }
}
