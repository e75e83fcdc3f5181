//! The gateway on standard input and output.

use crate::peer::Peer;
use crate::support::{TestGateway, at, echo, modern};
use mesh_gateway::serve_stdio;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

struct Conversation {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    served: JoinHandle<()>,
    _gateway: TestGateway,
}

impl Conversation {
    fn begin(gateway: TestGateway, scope: Option<&str>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (stdin, stdout) = tokio::io::split(theirs);
        let (output, input) = tokio::io::split(ours);
        let (inner, scope) = (Arc::clone(&gateway.gateway), scope.map(str::to_owned));
        let served = tokio::spawn(async move { serve_stdio(inner, stdin, stdout, scope).await.unwrap() });
        Self { input, output: BufReader::new(output).lines(), served, _gateway: gateway }
    }

    async fn say(&mut self, message: &str) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.output.next_line().await.unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn both_generations_are_served_on_one_line_each_until_the_input_ends() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let mut client = Conversation::begin(gateway, None);
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    client
        .say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string())
        .await;
    assert_eq!(client.hear().await["result"]["protocolVersion"], "2025-11-25");
    client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await;
    let call = json!({"name": "crm_echo", "arguments": {"text": "a\nb"}});
    client.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).to_string()).await;
    assert_eq!(client.hear().await["result"]["structuredContent"], json!({"text": "a\nb"}));
    client.say("rubbish").await;
    assert_eq!(client.hear().await["error"]["code"], -32700);
    client.say(&modern("tools/call", json!({"name": "crm_echo", "arguments": {}})).0).await;
    assert_eq!(client.hear().await["result"]["resultType"], "complete");
    client.input.shutdown().await.unwrap();
    client.served.await.unwrap();
}

#[tokio::test]
async fn a_server_asks_the_client_on_the_same_line() {
    let (_peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    let mut client = Conversation::begin(gateway, Some("peer"));
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}});
    client
        .say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string())
        .await;
    assert_eq!(client.hear().await["result"]["serverInfo"]["name"], "peer");
    let call = json!({"name": "ask", "arguments": {}});
    client.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).to_string()).await;
    let question = client.hear().await;
    assert_eq!(question["method"], "elicitation/create");
    client
        .say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}).to_string())
        .await;
    assert_eq!(client.hear().await["result"]["answers"]["k"]["action"], "decline");
}

#[tokio::test]
async fn answers_get_through_while_as_many_calls_as_there_may_be_wait_for_them() {
    let (_peer, url) = Peer::start(false).await;
    let gateway = TestGateway::start(&[("peer", at(&url, &[]))]).await;
    let mut client = Conversation::begin(gateway, Some("peer"));
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}});
    client
        .say(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string())
        .await;
    client.hear().await;
    // What a call says must not be taken for what it is.
    let arguments = json!({"text": "\"initialize\" \"notifications/x\""});
    for id in 1..=70 {
        let call = json!({"name": "ask", "arguments": arguments});
        client
            .say(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call}).to_string())
            .await;
    }
    let mut results = 0;
    while results < 70 {
        let message = client.hear().await;
        if message["method"] == "elicitation/create" {
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"action": "accept"}});
            client.say(&answer.to_string()).await;
        } else {
            assert_eq!(message["result"]["answers"]["k"]["action"], "accept", "{message}");
            results += 1;
        }
    }
}
