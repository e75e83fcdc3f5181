//! Clients of one generation in front of servers of either: questions in the middle of a call, prompts, resources, large results.

use crate::peer::Peer;
use crate::sessions::Client;
use crate::support::{TestGateway, at, modern};
use serde_json::{Value, json};

const ASKABLE: &str = "io.modelcontextprotocol/clientCapabilities";

async fn gateway(modern: bool) -> (std::sync::Arc<Peer>, TestGateway) {
    let (peer, url) = Peer::start(modern).await;
    (peer, TestGateway::start(&[("peer", at(&url, &[]))]).await)
}

async fn modern_call(gateway: &TestGateway, path: &str, mut params: Value) -> Value {
    params["_meta"] = json!({});
    let (mut body, headers) = modern("tools/call", params);
    body = body.replace(&format!("\"{ASKABLE}\":{{}}"), &format!("\"{ASKABLE}\":{{\"elicitation\":{{}}}}"));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = gateway.send(path, &headers, body).await;
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_with_a_session_is_asked_on_the_stream_of_its_call_by_servers_of_both_generations() {
    for is_modern in [false, true] {
        for (path, tool) in [("/mcp/peer", "ask"), ("/mcp", "peer_ask")] {
            let (_peer, gateway) = gateway(is_modern).await;
            let client = Client::begin(&gateway, path, json!({"elicitation": {}})).await;
            let mut call = client.stream("tools/call", json!({"name": tool, "arguments": {}})).await;
            let question = call.next().await;
            assert_eq!(question["method"], "elicitation/create");
            assert_eq!(question["params"], json!({"message": "who?", "n": 1.50}));
            let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}});
            assert_eq!(client.post(answer).await.status(), 202);
            let result = call.next().await["result"].clone();
            assert_eq!(
                result["answers"]["k"],
                json!({"action": "accept", "content": {}}),
                "{is_modern} {path}"
            );
            assert_eq!(result["state"].as_str(), is_modern.then_some("opaque-1"));
            assert!(result.get("resultType").is_none(), "{result}");
            gateway.records(1).await;
        }
    }
}

#[tokio::test]
async fn a_client_without_sessions_is_asked_by_a_result_and_comes_again() {
    for is_modern in [false, true] {
        let (_peer, gateway) = gateway(is_modern).await;
        let call = json!({"name": "ask", "arguments": {"a": 1, "b": 2}});
        let asked = modern_call(&gateway, "/mcp/peer", call).await["result"].clone();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let (key, question) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(question["params"], json!({"message": "who?", "n": 1.50}));
        let again = |arguments: Value| {
            json!({
                "name": "ask", "arguments": arguments, "requestState": asked["requestState"],
                "inputResponses": {key: {"action": "accept"}},
            })
        };
        if !is_modern {
            let other = modern_call(&gateway, "/mcp/peer", again(json!({"a": 2}))).await;
            assert_eq!(other["error"]["code"], -32602, "the state belongs to other parameters");
        }
        let result = modern_call(&gateway, "/mcp/peer", again(json!({"b": 2, "a": 1}))).await;
        assert_eq!(result["result"]["resultType"], "complete", "{result}");
        assert_eq!(result["result"]["answers"]["k"], json!({"action": "accept"}));
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_gets_an_error_not_a_question() {
    let (_peer, gateway) = gateway(false).await;
    let client = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    let mut call = client.stream("tools/call", json!({"name": "ask", "arguments": {}})).await;
    assert_eq!(call.next().await["result"]["answers"]["error"]["code"], -32601);
    let (_peer, gateway) = crate::bridging::gateway(true).await;
    let client = Client::begin(&gateway, "/mcp/peer", json!({})).await;
    let mut call = client.stream("tools/call", json!({"name": "ask", "arguments": {}})).await;
    assert_eq!(call.next().await["error"]["data"]["kind"], "bad_answer");
}

#[tokio::test]
async fn prompts_and_resources_are_listed_and_reached_under_both_names() {
    for is_modern in [false, true] {
        let (peer, gateway) = gateway(is_modern).await;
        let list = async |path: &str, method: &str, member: &str| {
            gateway.ask(path, method, json!({})).await["result"][member][0].clone()
        };
        assert_eq!(
            list("/mcp", "prompts/list", "prompts").await,
            json!({"name": "peer_greet", "x-odd": 1.0})
        );
        assert_eq!(list("/mcp/peer", "prompts/list", "prompts").await["name"], "greet");
        assert_eq!(list("/mcp", "resources/list", "resources").await["uri"], "peer+note://a");
        let template = list("/mcp", "resources/templates/list", "resourceTemplates").await;
        assert_eq!(template["uriTemplate"], "peer+note://{id}");

        let ask = async |path: &str, method: &str, params: Value| gateway.ask(path, method, params).await;
        let prompt = ask("/mcp", "prompts/get", json!({"name": "peer_greet"})).await;
        assert_eq!(prompt["result"]["got"], "greet");
        for (path, uri) in [("/mcp", "peer+note://5"), ("/mcp", "note://a"), ("/mcp/peer", "note://5")] {
            let read = ask(path, "resources/read", json!({"uri": uri})).await;
            assert_eq!(read["result"]["contents"][0]["uri"], uri.trim_start_matches("peer+"), "{read}");
        }
        let reference = json!({"type": "ref/resource", "uri": "peer+note://{id}"});
        let params = json!({"ref": reference, "argument": {"name": "id", "value": ""}});
        let completed = ask("/mcp", "completion/complete", params).await;
        assert_eq!(
            completed["result"]["completion"]["values"][0],
            json!({"type": "ref/resource", "uri": "note://{id}"}).to_string()
        );
        let unknown = ask("/mcp", "prompts/get", json!({"name": "peer_none"})).await;
        assert_eq!(unknown["error"]["code"], -32602);
        if is_modern {
            let (headers, _) = &peer.seen("resources/read")[0];
            assert_eq!(headers["mcp-name"], "note://5");
        }
        assert_eq!(
            gateway.records(6).await.iter().filter(|record| record.action == "resources/read").count(),
            4
        );
    }
}

#[tokio::test]
async fn the_door_says_what_is_behind_it() {
    for is_modern in [false, true] {
        let (_peer, gateway) = gateway(is_modern).await;
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
        let own = gateway.ask("/mcp/peer", "initialize", params.clone()).await["result"].clone();
        assert_eq!((&own["serverInfo"]["name"], &own["instructions"]), (&json!("peer"), &json!("Be kind.")));
        assert_eq!(own["capabilities"]["completions"], json!({}));
        let all = gateway.ask("/mcp", "initialize", params).await["result"].clone();
        assert_eq!(all["serverInfo"]["name"], "agentmesh-gateway");
        for name in ["tools", "prompts", "resources", "completions", "logging"] {
            assert!(all["capabilities"][name].is_object(), "{name} in {all}");
        }
    }
}

#[tokio::test]
async fn a_large_result_comes_through_whole_for_clients_of_both_generations() {
    for is_modern in [false, true] {
        let (_peer, gateway) = gateway(is_modern).await;
        let answer = gateway.call("/mcp/peer", "large", json!({})).await;
        assert_eq!(answer["result"]["content"][0]["text"].as_str().unwrap().len(), 2 << 20);
        assert!(answer["result"].get("resultType").is_none());
        let answer = modern_call(&gateway, "/mcp/peer", json!({"name": "large", "arguments": {}})).await;
        assert_eq!(answer["result"]["content"][0]["text"].as_str().unwrap().len(), 2 << 20);
        assert_eq!(answer["result"]["resultType"], "complete");
        gateway.records(2).await;
    }
}
