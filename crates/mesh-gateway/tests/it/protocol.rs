//! Both generations, names, tenants, origins.

use crate::support::{MODERN, TestGateway, echo, modern};
use serde_json::{Value, json};

async fn modern_ask(gateway: &TestGateway, path: &str, method: &str, params: Value) -> (u16, Value) {
    let (body, headers) = modern(method, params);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = gateway.send(path, &headers, body).await;
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn every_revision_with_a_handshake_is_spoken_with_and_without_a_session() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    for (asked, answered) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        (MODERN, "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let response = gateway.send("/mcp", &[], body.to_string()).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(answer["result"]["protocolVersion"], answered);
        assert!(answer["result"]["capabilities"]["tools"].is_object());

        let notified = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        let response = gateway.send("/mcp", &[("mcp-protocol-version", answered)], notified).await;
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (202, ""));

        let headers = [("mcp-protocol-version", answered)];
        let pong = gateway.ask_with("/mcp", &headers, "ping", json!({})).await;
        assert_eq!(pong["result"], json!({}));
        let unknown = gateway.ask_with("/mcp", &headers, "nonsense", json!({})).await;
        assert_eq!(unknown["error"]["code"], -32601);
        let headers = [("mcp-protocol-version", answered), ("mcp-session-id", &session)];
        let pong = gateway.ask_with("/mcp", &headers, "ping", json!({})).await;
        assert_eq!(pong["result"], json!({}));
    }
}

#[tokio::test]
async fn the_modern_revision_is_served_in_full() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let (status, answer) = modern_ask(&gateway, "/mcp", "server/discover", json!({})).await;
    assert_eq!((status, &answer["result"]["supportedVersions"][0]), (200, &json!(MODERN)));

    let (_, answer) = modern_ask(&gateway, "/mcp", "tools/list", json!({})).await;
    let result = &answer["result"];
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert!(result["ttlMs"].is_u64() && result["tools"].as_array().unwrap().len() == 12);

    let call = json!({"name": "crm_echo", "arguments": {"a": 1}});
    let (_, answer) = modern_ask(&gateway, "/mcp", "tools/call", call).await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["structuredContent"], json!({"a": 1}));

    for gone in ["ping", "nonsense", "resources/subscribe"] {
        let (status, answer) = modern_ask(&gateway, "/mcp", gone, json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(-32601)), "{gone}");
    }
    let (body, _) = modern("tools/list", json!({}));
    let response = gateway.send("/mcp", &[("mcp-protocol-version", "2025-11-25")], body).await;
    assert_eq!(response.status(), 400);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let response = gateway.send("/mcp", &[("mcp-protocol-version", "1900-01-01")], body).await;
    assert_eq!(response.status(), 400);
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["requested"]),
        (&json!(-32022), &json!("1900-01-01"))
    );
}

#[tokio::test]
async fn get_and_delete_are_not_offered_without_a_session() {
    let gateway = TestGateway::start(&[]).await;
    for path in ["/mcp", "/mcp/crm"] {
        for method in [reqwest::Method::GET, reqwest::Method::DELETE, reqwest::Method::PUT] {
            let request = gateway.client.request(method, format!("{}{path}", gateway.url));
            let response = request.send().await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["allow"]),
                (405, &"GET, POST, DELETE".parse().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn names_are_joined_at_the_one_door_and_untouched_at_an_upstreams_own() {
    let gateway = TestGateway::start(&[("crm", echo(&[])), ("ana-lytics", echo(&["--legacy"]))]).await;
    let all = gateway.tools("/mcp").await;
    assert_eq!(all.len(), 24);
    assert!(all.contains(&"crm_echo".to_owned()) && all.contains(&"ana-lytics_echo".to_owned()));
    let changed = all.iter().find(|name| name.starts_with("crm_add_tool_")).unwrap();
    assert!(gateway.tools("/mcp/crm").await.contains(&"add.tool".to_owned()));

    assert!(gateway.call("/mcp", changed, json!({})).await["result"].is_object());
    assert!(gateway.call("/mcp/crm", "add.tool", json!({})).await["result"].is_object());
    assert_eq!(gateway.call("/mcp", "crm_nothing", json!({})).await["error"]["code"], -32602);
    assert_eq!(gateway.call("/mcp", "nobody_echo", json!({})).await["error"]["code"], -32602);
    // Its own error, in its own words.
    let answer = gateway.call("/mcp/crm", "nothing", json!({})).await;
    assert_eq!(answer["error"], json!({"code": -32602, "message": "unknown tool nothing"}));
}

#[tokio::test]
async fn what_passes_through_stays_as_it_is() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let arguments = r#"{"n":1.0,"e":1E+2,"big":123456789012345678901234567890,"text":"\u00e4\/","nested":[ {"x":null} ]}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"\u0041","method":"tools/call","params":{{"name":"crm_echo","arguments":{arguments}}}}}"#
    );
    let text = gateway.send("/mcp", &[], body).await.text().await.unwrap();
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":"\u0041","result":{{"content":[],"structuredContent":{arguments},"x":1.0}}}}"#
    );
    assert_eq!(text, expected);

    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let text = gateway.send("/mcp", &[], list).await.text().await.unwrap();
    assert!(text.contains(r#""x-unknown":{"n":1.0,"big":123456789012345678901234567890}"#), "{text}");
}

#[tokio::test]
async fn another_tenant_finds_nothing() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let stranger = [("agentmesh-tenant", "other")];
    let list = gateway.ask_with("/mcp", &stranger, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"], json!([]));
    let call = json!({"name": "crm_echo", "arguments": {}});
    let refused = gateway.ask_with("/mcp", &stranger, "tools/call", call.clone()).await;
    let unknown = gateway.ask("/mcp", "tools/call", json!({"name": "cry_echo", "arguments": {}})).await;
    let message = |answer: &Value| answer["error"]["message"].as_str().unwrap().replace("cry", "crm");
    assert_eq!(message(&refused), message(&unknown));
    for method in ["tools/list", "ping", "tools/call"] {
        let answer = gateway.ask_with("/mcp/crm", &stranger, method, call.clone()).await;
        assert_eq!(answer["error"]["message"], "no upstream `crm`", "{method}");
    }
}

#[tokio::test]
async fn pages_of_strangers_are_refused() {
    let gateway = TestGateway::start(&[]).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (header, value) in [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")]
    {
        let response = gateway.send("/mcp", &[(header, value)], ping.clone()).await;
        assert_eq!(response.status(), 403, "{header}: {value}");
    }
    let response = gateway.send("/mcp", &[("origin", "http://localhost:5173")], ping).await;
    assert_eq!(response.status(), 200);
}
