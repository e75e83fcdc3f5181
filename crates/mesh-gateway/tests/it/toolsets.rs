//! Toolsets and selections on the wire.

use crate::support::{TestGateway, echo, modern};
use mesh_config::{LoadOptions, Mesh};
use serde_json::{Value, json};

fn mesh(text: &str) -> Mesh {
    mesh_config::parse(text, "mesh.yaml", &LoadOptions::new(&|_| None))
        .unwrap_or_else(|report| panic!("{report}"))
}

/// Two upstreams `crm` and `erp`, with what a mesh file says about them and their toolsets.
async fn start(crm: &str, toolsets: &str) -> TestGateway {
    let text = format!(
        "tools:\n  crm: {{ command: [x]{crm} }}\n  erp: {{ command: [x] }}\ntoolsets:\n  kit: {{ tools: {toolsets} }}\n"
    );
    let mesh = mesh(&text);
    let mut upstream = echo(&[]);
    upstream.selection = mesh.tools["crm"].selection.clone();
    TestGateway::with(&[("crm", upstream), ("erp", echo(&[]))], |settings| settings.toolsets = mesh.toolsets)
        .await
}

const KIT: &str = r#"[
    { tool: crm/echo, name: lookup, description: Looks up, arguments: { region: { value: eu }, limit: { default: 5 }, debug: { hide: true } } },
    "erp/e*", crm/meta ]"#;

#[tokio::test]
async fn a_toolset_shows_the_chosen_tools_of_several_upstreams_in_their_order() {
    let gateway = start("", KIT).await;
    assert_eq!(gateway.tools("/mcp/kit").await, ["lookup", "erp_echo", "erp_exit", "erp_env", "crm_meta"]);
    let answer = gateway.ask("/mcp/kit", "tools/list", json!({})).await;
    let lookup = &answer["result"]["tools"][0];
    assert_eq!((&lookup["description"], &lookup["x-unknown"]["n"]), (&json!("Looks up"), &json!(1.0)));
}

#[tokio::test]
async fn a_call_of_a_chosen_tool_has_its_arguments_filled_in_and_the_rest_untouched() {
    let gateway = start("", KIT).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup","arguments":{"n":1.0,"region":"us","debug":1,"big":123456789012345678901234567890}}}"#;
    let text = gateway.send("/mcp/kit", &[], body).await.text().await.unwrap();
    let expected =
        r#""structuredContent":{"n":1.0,"region":"eu","big":123456789012345678901234567890,"limit":5}"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(
        gateway.call("/mcp/kit", "erp_echo", json!({"a": 1})).await["result"]["structuredContent"],
        json!({"a": 1})
    );
    let records = gateway.records(2).await;
    assert_eq!(
        (records[0].upstream.as_deref(), records[0].tool.as_deref()),
        (Some("crm"), Some("echo")),
        "the audit names the upstream's own tool"
    );
}

#[tokio::test]
async fn a_toolset_is_all_that_its_path_has() {
    let gateway = start("", KIT).await;
    for name in ["echo", "crm_echo", "erp_fail", "nothing", "crm_lookup"] {
        let answer = gateway.call("/mcp/kit", name, json!({})).await;
        assert_eq!(answer["error"]["code"], -32602, "{name}: {answer}");
    }
    let answer = gateway.call("/mcp/kit", "lookup", json!([])).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert_eq!(gateway.tools("/mcp").await.len(), 24, "toolsets add nothing to the whole");
    let (body, headers) = modern("tools/call", json!({"name": "lookup", "arguments": {}}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer: Value = gateway.send("/mcp/kit", &headers, body).await.json().await.unwrap();
    assert_eq!(answer["result"]["structuredContent"], json!({"region": "eu", "limit": 5}));
}

#[tokio::test]
async fn excluded_tools_do_not_exist_and_hidden_ones_are_only_not_listed() {
    let crm = r#", exclude: [e*], tools: { meta: { hidden: true }, fail: { category: x, read_only: true } }"#;
    let gateway = start(crm, "[\"crm/*\", erp/echo]").await;
    for path in ["/mcp/crm", "/mcp/kit"] {
        let tools = gateway.tools(path).await;
        assert!(
            !tools.iter().any(|name| name.ends_with("echo") && !name.starts_with("erp")),
            "{path}: {tools:?}"
        );
        assert!(!tools.iter().any(|name| name.ends_with("meta")), "{path}: {tools:?}");
    }
    for (path, name) in [("/mcp/crm", "echo"), ("/mcp", "crm_echo"), ("/mcp/kit", "crm_echo")] {
        let answer = gateway.call(path, name, json!({})).await;
        assert_eq!(answer["error"]["code"], -32602, "{path}: {answer}");
    }
    assert!(gateway.call("/mcp", "crm_meta", json!({})).await["result"].is_object());
    let answer = gateway.ask("/mcp/crm", "tools/list", json!({})).await;
    let fail =
        answer["result"]["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "fail").unwrap();
    assert_eq!(
        (&fail["annotations"]["readOnlyHint"], &fail["_meta"]["agentmesh/category"]),
        (&json!(true), &json!("x"))
    );
}
