//! `tools` and `call`, with servers of both generations.

use crate::support::{Call, Frame, Reply, Server, agentmesh, error, result};
use serde_json::{Value, json};

fn tools() -> [Value; 2] {
    [
        json!({
            "name": "crm/get_customer", "description": "One customer by id",
            "inputSchema": {"type": "object", "required": ["customer_id"], "additionalProperties": false,
                "properties": {"customer_id": {"type": "string"}, "limit": {"type": "integer"}}},
        }),
        json!({"name": "analytics/dashboard", "description": "Figures of a campaign", "inputSchema": {}}),
    ]
}

/// One tool a page.
fn list(call: &Call) -> Value {
    match call.params["cursor"].as_str() {
        None => json!({"tools": [tools()[0]], "nextCursor": "", "resultType": "complete"}),
        Some("") => json!({"tools": [tools()[1]], "resultType": "complete"}),
        other => panic!("{other:?}"),
    }
}

fn called(call: &Call) -> Value {
    match call.params["name"].as_str().unwrap() {
        "crm/get_customer" => json!({
            "content": [{"type": "text", "text": format!("{}", call.params["arguments"])}, {"type": "image", "data": "aGkh", "mimeType": "image/png"}],
            "resultType": "complete",
        }),
        _ => json!({"content": [{"type": "text", "text": "out of order"}], "isError": true}),
    }
}

async fn modern() -> Server {
    Server::start(|call| {
        assert_eq!(call.path, "/mcp");
        assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(call.header("mcp-method"), Some(call.method.as_str()));
        assert_eq!(call.header("mcp-name"), call.params["name"].as_str());
        let meta = &call.params["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
        assert!(meta["traceparent"].is_string() && call.header("traceparent").is_some());
        match call.method.as_str() {
            "server/discover" => {
                result(json!({"supportedVersions": ["2026-07-28"], "resultType": "complete"}))
            }
            "tools/list" => result(list(call)),
            "tools/call" => result(called(call)),
            method => panic!("{method}"),
        }
    })
    .await
}

/// Wants a session, and answers in streams.
async fn legacy() -> Server {
    Server::start(|call| {
        let stream = |value: Value| {
            let noise = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
            let response = json!({"jsonrpc": "2.0", "id": call.id, "result": value});
            Reply::Stream(vec![
                Frame::Text("id: 1\ndata:\n\n".to_owned()),
                Frame::Text(format!("event: message\ndata: {noise}\n\ndata: {response}\n\n")),
                Frame::Hang,
            ])
        };
        let in_session = call.header("mcp-session-id") == Some("s-1")
            && call.header("mcp-protocol-version") == Some("2025-06-18");
        match call.method.as_str() {
            "server/discover" => Reply::Http(
                400,
                vec![],
                json!({"error": {"code": -32000, "message": "Bad Request: Mcp-Session-Id header is required"}}),
            ),
            "initialize" => Reply::Http(
                200,
                vec![("mcp-session-id", "s-1".to_owned())],
                json!({"result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}}),
            ),
            "notifications/initialized" if in_session => Reply::Empty(202),
            "tools/list" if in_session => stream(list(call)),
            "tools/call" if in_session => stream(called(call)),
            "" if in_session && call.http_method == "DELETE" => Reply::Empty(200),
            method => panic!("{method} {:?}", call.headers),
        }
    })
    .await
}

#[tokio::test]
async fn tools_of_the_gateway_from_all_pages() {
    let server = modern().await;
    let run = agentmesh(&["tools", "--gateway", server.url()]).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 0\n--- stdout\n\
         TOOL                 ARGUMENTS            DESCRIPTION\n\
         crm/get_customer     customer_id [limit]  One customer by id\n\
         analytics/dashboard                       Figures of a campaign\n--- stderr\n"
    );
    assert_eq!(server.methods(), ["server/discover", "tools/list", "tools/list"]);
    let found =
        agentmesh(&["tools", "--search", "campaign", "-o", "json", "--gateway", server.url()]).run().await;
    assert_eq!(found.json(), json!({"tools": [tools()[1]]}));
}

#[tokio::test]
async fn a_server_of_the_generation_before_is_initialized() {
    let server = legacy().await;
    let url = format!("{}/mcp", server.url());
    let run = agentmesh(&["call", "crm/get_customer", "customer_id=7", "limit=7", "--mcp", &url]).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 0\n--- stdout\n{\"customer_id\":\"7\",\"limit\":7}\n[image image/png 3 bytes]\n--- stderr\n"
    );
    let expected = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/list",
        "tools/call",
        "",
    ];
    assert_eq!(server.methods(), expected);
}

#[tokio::test]
async fn arguments_as_json_and_from_a_file() {
    let server = modern().await;
    let call = |more: &[&str]| {
        let arguments =
            [&["call", "crm/get_customer", "-o", "json", "--gateway", server.url()], more].concat();
        agentmesh(&arguments)
    };
    let text = |run: crate::support::Run| run.json()["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text(call(&["{\"customer_id\": 7}"]).run().await), "{\"customer_id\":7}");
    assert_eq!(text(call(&["--file", "-"]).input("{\"a\": null}").run().await), "{\"a\":null}");
}

#[tokio::test]
async fn what_can_go_wrong_with_a_call() {
    let server = modern().await;
    let call = |arguments: &'static [&'static str]| {
        let url = server.url().to_owned();
        async move { agentmesh(&[&["call", "--gateway", &url], arguments].concat()).run().await.to_string() }
    };
    assert_eq!(
        call(&["analytics/dashboard"]).await,
        "exit: 1\n--- stdout\nout of order\n--- stderr\nerror: the tool analytics/dashboard reports an error\n"
    );
    assert_eq!(
        call(&["crm/get_custmer"]).await,
        "exit: 4\n--- stdout\n--- stderr\nerror: no tool `crm/get_custmer`\nhint: did you mean `crm/get_customer`?\n"
    );
    assert_eq!(
        call(&["crm/get_customer", "limit=many"]).await,
        "exit: 2\n--- stdout\n--- stderr\nerror: `limit` must be integer, not `many`\n"
    );
    assert_eq!(
        call(&["crm/get_customer"]).await,
        "exit: 2\n--- stdout\n--- stderr\nerror: missing arguments: customer_id\n"
    );
    assert!(call(&["crm/get_customer", "[1]"]).await.starts_with("exit: 2\n"));
}

#[tokio::test]
async fn a_server_that_speaks_neither_is_exit_status_3_or_1() {
    let server = Server::start(|_| Reply::Empty(404)).await;
    let run = agentmesh(&["tools", "--mcp", server.url()]).run().await;
    assert_eq!(run.code, Some(3), "{run}");
    let server = Server::start(|_| error(-32603, "broken")).await;
    let run = agentmesh(&["tools", "--mcp", server.url()]).run().await;
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("broken (-32603)"), "{run}");
}

#[tokio::test]
async fn the_gateway_finds_tools_by_category_and_need() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let find = async |uri: axum::http::Uri| {
        let tool = json!({"name": "crm_get", "category": "crm", "score": 2.5, "description": uri.query()});
        ([("content-type", "application/json")], json!({ "tools": [tool] }).to_string())
    };
    let router = axum::Router::new().route("/tools", axum::routing::get(find));
    tokio::spawn(axum::serve(listener, router).into_future());
    let arguments = ["tools", "--category", "crm", "--query", "a customer", "--gateway", &url];
    let run = agentmesh(&arguments).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 0\n--- stdout\n\
         TOOL     CATEGORY  SCORE  DESCRIPTION\n\
         crm_get  crm       2.50   category=crm&query=a+customer\n--- stderr\n"
    );
    let found = agentmesh(&[&arguments[..], &["-o", "json"]].concat()).run().await.json();
    assert_eq!(found["tools"][0]["score"], 2.5);
    let server = Server::start(|_| Reply::Empty(404)).await;
    let run = agentmesh(&["tools", "--query", "x", "--gateway", server.url()]).run().await;
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("--search ranks them here"), "{run}");
}
