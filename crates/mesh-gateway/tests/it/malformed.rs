//! Whatever comes in, a precise protocol error goes out, and the gateway lives on.

use crate::support::{TestGateway, echo};
use serde_json::{Value, json};

const GOOD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_echo","arguments":{"a":[1,"b",null]},"_meta":{"progressToken":1}}}"#;

/// Sends a body; asserts a protocol error of the given status, and returns its code.
async fn refused(gateway: &TestGateway, headers: &[(&str, &str)], body: Vec<u8>, status: u16) -> i64 {
    let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
    let response = gateway.send("/mcp", headers, body).await;
    assert_eq!(response.status(), status, "{shown}");
    let text = response.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{shown}: {text}"));
    assert_eq!(answer["jsonrpc"], "2.0");
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{shown}: {text}"))
}

#[tokio::test]
async fn each_kind_of_nonsense_has_its_error() {
    let gateway = TestGateway::with(&[("crm", echo(&[]))], |settings| settings.limits.body = 100_000).await;
    let json = |value: Value| value.to_string().into_bytes();
    let cases: Vec<(Vec<u8>, u16, i64)> = vec![
        (b"".to_vec(), 400, -32700),
        (b"{".to_vec(), 400, -32700),
        (b"nonsense".to_vec(), 400, -32700),
        (b"\xff\xfe\x00".to_vec(), 400, -32700),
        ([GOOD.as_bytes(), b"\xc3"].concat(), 400, -32700),
        ([GOOD.as_bytes(), b"}"].concat(), 400, -32700),
        (b"null".to_vec(), 400, -32600),
        (b"[]".to_vec(), 400, -32600),
        (format!("[{GOOD}]").into(), 400, -32600),
        (b"[".repeat(50_000), 400, -32600),
        (br#"{"a":"#.repeat(10_000), 400, -32600),
        (json(json!({})), 400, -32600),
        (json(json!({"jsonrpc": "2.0", "id": 1})), 400, -32600),
        (json(json!({"jsonrpc": 2.0, "id": 1, "method": "ping"})), 400, -32600),
        (json(json!({"jsonrpc": "2.0", "id": null, "method": "ping"})), 400, -32600),
        (json(json!({"jsonrpc": "2.0", "id": {}, "method": "ping"})), 400, -32600),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": {}})), 400, -32600),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []})), 200, -32602),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": ""})), 200, -32601),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(50_000)})), 200, -32601),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call"})), 200, -32602),
        (
            json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 1}})),
            200,
            -32602,
        ),
        (
            json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": ""}})),
            200,
            -32602,
        ),
        (
            json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 1}})),
            200,
            -32602,
        ),
        (
            json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": 1}})),
            200,
            -32602,
        ),
        (json(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize"})), 200, -32602),
        (
            json(
                json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {"progressToken": []}}}),
            ),
            200,
            -32602,
        ),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#.to_vec(), 400, -32600),
        (vec![b' '; 100_001], 413, -32600),
    ];
    for (body, status, code) in cases {
        let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        assert_eq!(refused(&gateway, &[], body, status).await, code, "{shown}");
    }
    let good = || GOOD.as_bytes().to_vec();
    for kind in ["text/plain", "application/jsonx", "", "multipart/form-data"] {
        refused(&gateway, &[("content-type", kind)], good(), 415).await;
    }
    refused(&gateway, &[("accept", "text/html")], good(), 406).await;
    refused(&gateway, &[("agentmesh-agent", "")], good(), 400).await;
    assert!(gateway.call("/mcp", "crm_echo", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn a_thousand_damaged_calls_do_no_harm() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let good = GOOD.as_bytes();
    let cut = (0..good.len()).map(|at| good[..at].to_vec());
    let damaged = (0..good.len()).flat_map(|at| {
        [b'\0', b'"', b'{', b']', b'9', 0xff, b'\\'].map(|byte| {
            let mut body = good.to_vec();
            body[at] = byte;
            body
        })
    });
    let mut sent = 0;
    for body in cut.chain(damaged) {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let response = gateway.send("/mcp", &[], body).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(matches!(status, 200 | 202 | 400), "{status}: {shown}");
        let text = text.strip_prefix("event: message\ndata: ").unwrap_or(&text);
        assert!(status == 202 || serde_json::from_str::<Value>(text.trim()).is_ok(), "{shown}: {text}");
        sent += 1;
    }
    assert!(sent > 1000, "{sent}");
    assert!(gateway.call("/mcp", "crm_echo", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn a_body_that_lies_about_its_length_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = TestGateway::start(&[]).await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 413"), "{answer:?}");
}
