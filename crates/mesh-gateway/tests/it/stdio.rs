//! Child processes: their calls, their deaths, their ends.

use crate::support::{TestGateway, echo, eventually};
use mesh_policy::Outcome;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn alive(pid: &str) -> bool {
    // A zombie has ended; nobody can reap it but its parent.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn a_process_that_dies_fails_its_calls_at_once_and_is_started_again() {
    let gateway = TestGateway::start(&[("crm", echo(&[])), ("other", echo(&[]))]).await;
    gateway.tools("/mcp").await;
    let (hanging, exit) = tokio::join!(
        gateway.call("/mcp/crm", "hang", json!({})),
        gateway.call("/mcp/crm", "exit", json!({}))
    );
    for answer in [hanging, exit] {
        assert_eq!(answer["error"]["code"], -31503, "{answer}");
        assert_eq!(answer["error"]["data"], json!({"kind": "upstream_unavailable", "upstream": "crm"}));
        assert!(answer["error"]["message"].as_str().unwrap().contains("exit status: 1"), "{answer}");
    }
    // Others notice nothing, and the list keeps what is known.
    assert!(gateway.call("/mcp/other", "echo", json!({})).await["result"].is_object());
    assert_eq!(gateway.tools("/mcp").await.len(), 24);
    let back = async {
        while gateway.call("/mcp/crm", "echo", json!({})).await["result"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
}

#[tokio::test]
async fn shutdown_leaves_no_process_behind() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let answer = gateway.call("/mcp/crm", "child", json!({})).await;
    let pids: Vec<_> = text(&answer).split(' ').collect();
    assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
    gateway.gateway.shutdown(Duration::from_secs(2)).await;
    eventually(|| !pids.iter().any(|pid| alive(pid))).await;
    let answer = gateway.call("/mcp/crm", "echo", json!({})).await;
    assert_eq!(answer["error"]["data"]["kind"], "draining");
}

#[tokio::test]
async fn a_server_that_ends_at_the_first_question_it_does_not_know_is_met_with_initialize() {
    let gateway = TestGateway::start(&[("crm", echo(&["--strict"]))]).await;
    let back = async {
        while gateway.call("/mcp/crm", "echo", json!({})).await["result"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_and_hides_nobody_else() {
    let mut missing = echo(&[]);
    if let mesh_config::Endpoint::Process { command, .. } = &mut missing.endpoint {
        command[0] = "/no/such/program".to_owned();
    }
    let gateway = TestGateway::start(&[("crm", missing), ("other", echo(&[]))]).await;
    let list = gateway.ask("/mcp", "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 12);
    assert_eq!(list["result"]["_meta"]["agentmesh/unavailable"], json!(["crm"]));
    let answer = gateway.call("/mcp", "crm_echo", json!({})).await;
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("upstream `crm` is not available"),
        "{answer}"
    );
    let alone = gateway.ask("/mcp/crm", "tools/list", json!({})).await;
    assert_eq!(alone["error"]["data"]["upstream"], "crm");
}

async fn recorded(record: &Path, what: &str) {
    eventually(|| std::fs::read_to_string(record).unwrap_or_default().contains(what)).await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_and_said_to_be_late() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let mut slow = echo(&["--record", record.to_str().unwrap()]);
    slow.timeout = Duration::from_millis(300);
    let gateway = TestGateway::start(&[("crm", slow)]).await;
    gateway.tools("/mcp").await;
    let answer = gateway.call("/mcp/crm", "hang", json!({})).await;
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-31504), &json!("timeout"))
    );
    recorded(&record, "notifications/cancelled").await;
    assert_eq!(gateway.records(1).await[0].outcome, Outcome::Timeout);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_and_leaves_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let gateway = TestGateway::start(&[("crm", echo(&["--record", record.to_str().unwrap()]))]).await;
    gateway.tools("/mcp").await;
    let call = gateway.call("/mcp/crm", "hang", json!({}));
    let arrived = recorded(&record, r#""name":"hang""#);
    tokio::select! {
        answer = call => panic!("{answer}"),
        () = arrived => {}
    }
    recorded(&record, "notifications/cancelled").await;
    let records = gateway.records(1).await;
    assert_eq!((records[0].outcome, records[0].tool.as_deref()), (Outcome::ClientGone, Some("hang")));
    assert!(gateway.metrics().contains(r#"error_type="client_gone"} 1"#), "{}", gateway.metrics());
}

#[tokio::test]
async fn progress_passes_under_the_clients_own_token() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    gateway.tools("/mcp").await;
    let call = |accept| {
        let params = json!({"name": "crm_progress", "arguments": {}, "_meta": {"progressToken": "mine"}});
        let body = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}).to_string();
        let gateway = &gateway;
        async move { gateway.send("/mcp", &[("accept", accept)], body).await }
    };
    let response = call("application/json, text/event-stream").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("event: message\ndata: ").unwrap()).unwrap())
        .collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["params"], json!({"progressToken": "mine", "progress": 1, "x-more": true}));
    assert_eq!(events[2]["id"], 9);
    let response = call("application/json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let response = call("text/event-stream").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn an_upstream_has_its_own_bounds_and_says_when_they_are_reached() {
    let mut narrow = echo(&[]);
    (narrow.concurrency, narrow.queue) = (1, 0);
    let gateway = TestGateway::start(&[("crm", narrow), ("other", echo(&[]))]).await;
    gateway.tools("/mcp").await;
    // Either may come first; the one that hangs tries until it has the only place.
    let hanging = async {
        loop {
            let answer = gateway.call("/mcp/crm", "hang", json!({})).await;
            if answer["error"]["data"]["kind"] != "busy" {
                return answer;
            }
        }
    };
    let others = async {
        loop {
            let answer = gateway.call("/mcp/crm", "echo", json!({})).await;
            if answer["error"]["data"]["kind"] == "busy" {
                return answer;
            }
        }
    };
    let answer = tokio::select! {
        answer = hanging => panic!("{answer}"),
        answer = others => answer,
    };
    assert_eq!(answer["error"]["code"], -31429);
    assert!(gateway.call("/mcp/other", "echo", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn a_changed_list_is_seen_by_the_next_reader() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    assert_eq!(gateway.tools("/mcp/crm").await.len(), 12);
    gateway.call("/mcp/crm", "add.tool", json!({})).await;
    assert!(gateway.tools("/mcp").await.contains(&"crm_extra0".to_owned()));
}

#[tokio::test]
async fn results_have_a_size_limit_and_noise_is_ignored() {
    let gateway = TestGateway::with(&[("crm", echo(&[]))], |settings| settings.limits.result = 100_000).await;
    let answer = gateway.call("/mcp/crm", "big", json!({"bytes": 90_000})).await;
    assert_eq!(text(&answer).len(), 90_000);
    let answer = gateway.call("/mcp/crm", "big", json!({"bytes": 200_000})).await;
    assert_eq!(answer["error"]["data"]["kind"], "result_too_large", "{answer}");
    assert_eq!(text(&gateway.call("/mcp/crm", "noise", json!({})).await), "quiet");
    assert_eq!(gateway.call("/mcp/crm", "fail", json!({})).await["result"]["isError"], true);
}

#[tokio::test]
async fn a_process_gets_no_more_of_our_environment_than_it_needs() {
    let mut upstream = echo(&[]);
    if let mesh_config::Endpoint::Process { env, .. } = &mut upstream.endpoint {
        env.insert("CRM_KEY".to_owned(), mesh_config::Secret::new("k"));
    }
    let gateway = TestGateway::start(&[("crm", upstream)]).await;
    let answer = gateway.call("/mcp/crm", "env", json!({})).await;
    let names: Vec<_> = text(&answer).split(' ').collect();
    assert!(
        names.contains(&"CRM_KEY") && names.contains(&"PATH") && !names.contains(&"CARGO_PKG_NAME"),
        "{names:?}"
    );
}

#[tokio::test]
async fn many_calls_at_once_get_their_own_answers() {
    let gateway = TestGateway::start(&[("crm", echo(&[])), ("old", echo(&["--legacy"]))]).await;
    gateway.tools("/mcp").await;
    let call = async |n: usize| {
        let tool = ["crm_echo", "old_echo"][n % 2];
        let answer = gateway.call("/mcp", tool, json!({ "n": n })).await;
        assert_eq!(answer["result"]["structuredContent"], json!({ "n": n }), "{answer}");
    };
    futures_util::future::join_all((0..300).map(call)).await;
    let records = gateway.records(300).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
}
