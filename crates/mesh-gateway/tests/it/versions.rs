//! A part of the calls at another version of an upstream.

use crate::support::{TestGateway, echo, eventually};
use mesh_config::{LoadOptions, Upstream};
use serde_json::json;
use std::path::Path;

/// `crm` and `crm-v2`, with what a mesh file says about the first; each writes down what it reads.
async fn start(folder: &Path, crm: &str) -> TestGateway {
    let text = format!("tools: {{ crm: {{ command: [x], {crm} }}, crm-v2: {{ command: [x] }} }}");
    let mesh = mesh_config::parse(&text, "mesh.yaml", &LoadOptions::new(&|_| None)).unwrap();
    let record = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let upstream = echo(&["--record", &record("crm")]);
    let upstream = Upstream { endpoint: upstream.endpoint, ..mesh.tools["crm"].clone() };
    let gateway =
        TestGateway::start(&[("crm", upstream), ("crm-v2", echo(&["--record", &record("crm-v2")]))]).await;
    assert_eq!(gateway.tools("/mcp").await.len(), 24, "both versions are known");
    gateway
}

fn calls(folder: &Path, upstream: &str) -> usize {
    let text = std::fs::read_to_string(folder.join(upstream)).unwrap();
    text.lines().filter(|line| line.contains(r#""method":"tools/call""#)).count()
}

#[tokio::test]
async fn a_split_gives_the_other_version_exactly_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "split: { to: crm-v2, percent: 20 }").await;
    for n in 0..50 {
        let answer = gateway.call("/mcp", "crm_echo", json!({"n": n})).await;
        assert_eq!(answer["result"]["structuredContent"]["n"], n);
    }
    assert_eq!((calls(folder.path(), "crm"), calls(folder.path(), "crm-v2")), (40, 10));
    let records = gateway.records(50).await;
    assert_eq!(records.iter().filter(|record| record.upstream.as_deref() == Some("crm-v2")).count(), 10);
    let metrics = gateway.metrics();
    assert!(metrics.contains("mcp_split_calls_total{upstream=\"crm\",served_by=\"crm-v2\"} 10"), "{metrics}");
}

#[tokio::test]
async fn a_split_by_principal_keeps_a_caller_on_its_side() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "split: { to: crm-v2, percent: 50, by: principal }").await;
    for agent in 0..10 {
        let name = format!("agent-{agent}");
        let before = calls(folder.path(), "crm-v2");
        for _ in 0..4 {
            let params = json!({"name": "crm_echo", "arguments": {}});
            gateway.ask_with("/mcp", &[("agentmesh-agent", &name)], "tools/call", params).await;
        }
        assert!([0, 4].contains(&(calls(folder.path(), "crm-v2") - before)));
    }
    assert!((1..40).contains(&calls(folder.path(), "crm-v2")));
}

#[tokio::test]
async fn a_shadow_gets_read_only_calls_and_its_answer_is_only_compared() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(
        folder.path(),
        "shadow: { to: crm-v2, percent: 100 }, tools: { echo: { read_only: true }, meta: { read_only: true } }",
    )
    .await;
    for _ in 0..3 {
        gateway.call("/mcp", "crm_echo", json!({"a": 1.0})).await;
    }
    let counted = |outcome: &str, n: usize| {
        format!("mcp_shadow_calls_total{{upstream=\"crm\",shadow=\"crm-v2\",outcome=\"{outcome}\"}} {n}\n")
    };
    eventually(|| gateway.metrics().contains(&counted("same", 3))).await;
    // Its answer has the trace of the call in it, and that is another one at the shadow.
    gateway.call("/mcp", "crm_meta", json!({})).await;
    eventually(|| gateway.metrics().contains(&counted("different", 1))).await;
    gateway.call("/mcp", "crm_fail", json!({})).await;
    assert_eq!(calls(folder.path(), "crm-v2"), 4, "a tool that may change something is not shadowed");
    gateway.records(5).await;
}

#[tokio::test]
async fn a_shadow_that_hangs_delays_nobody_and_further_calls_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let text = "shadow: { to: crm-v2, percent: 100, writes: true, concurrency: 1 }";
    let gateway = start(folder.path(), text).await;
    // The caller of the first leaves; its copy hangs at the shadow and keeps the one place.
    let params = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "crm_hang", "arguments": {}}});
    let hanging = tokio::spawn({
        let request = gateway.client.post(format!("{}/mcp", gateway.url)).json(&params);
        async move { request.header("accept", "application/json").send().await }
    });
    eventually(|| calls(folder.path(), "crm-v2") == 1).await;
    hanging.abort();
    for _ in 0..3 {
        assert!(gateway.call("/mcp", "crm_echo", json!({})).await["result"].is_object());
    }
    assert!(gateway.metrics().contains(r#"outcome="left_out"} 3"#), "{}", gateway.metrics());
}
