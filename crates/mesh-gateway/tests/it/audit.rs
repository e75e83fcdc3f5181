//! One record per call, and no call without one; traces and metrics.

use crate::support::{TestGateway, echo};
use mesh_core::trace::SpanKind;
use mesh_policy::Outcome;
use serde_json::json;

#[tokio::test]
async fn each_call_ends_in_one_record_that_says_who_and_what() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let headers = [
        ("agentmesh-agent", "sales"),
        ("agentmesh-task", "task-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let params = json!({"name": "crm_echo", "arguments": {"a": 1}});
    gateway.ask_with("/mcp", &headers, "tools/call", params).await;
    gateway.call("/mcp", "crm_fail", json!({})).await;
    gateway.call("/mcp/crm", "refuse", json!({})).await;
    gateway.call("/mcp", "crm_nothing", json!({})).await;
    gateway.tools("/mcp").await;
    let records = gateway.records(4).await;
    let outcomes: Vec<_> = records.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::ToolError, Outcome::ProtocolError, Outcome::NotFound]);
    let first = serde_json::to_value(&records[0]).unwrap();
    for (name, value) in [
        ("action", "tools/call"),
        ("tenant", "default"),
        ("principal", "sales"),
        ("agent", "sales"),
        ("onBehalfOf", "local"),
        ("taskId", "task-1"),
        ("upstream", "crm"),
        ("tool", "echo"),
        ("traceId", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("argumentsSha256", "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!(first["decision"]["allowed"], true);
    assert!(records[3].decision.is_none());
}

#[tokio::test]
async fn a_call_that_cannot_be_audited_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let gateway = TestGateway::start(&[("crm", echo(&["--record", record.to_str().unwrap()]))]).await;
    gateway.tools("/mcp").await;
    gateway.audit.fail(Some("disk full"));
    let answer = gateway.call("/mcp/crm", "echo", json!({})).await;
    assert_eq!(answer["error"]["data"]["kind"], "audit_unavailable");
    assert!(!answer.to_string().contains("disk full"), "what is wrong inside is not told");
    gateway.audit.fail(None);
    assert!(gateway.call("/mcp/crm", "echo", json!({})).await["result"].is_object());
    assert_eq!(std::fs::read_to_string(record).unwrap().matches("tools/call").count(), 1);
}

#[tokio::test]
async fn a_trace_goes_through() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let meta = json!({"traceparent": traceparent, "tracestate": "a=b", "x": 1.5});
    let params = json!({"name": "meta", "arguments": {}, "_meta": meta});
    let answer = gateway.ask("/mcp/crm", "tools/call", params).await;
    let seen = &answer["result"]["structuredContent"];
    assert_eq!((&seen["tracestate"], &seen["x"]), (&json!("a=b"), &json!(1.5)));
    gateway.records(1).await;
    let spans = gateway.spans.0.lock().unwrap();
    let of = |kind| spans.iter().find(|span| span.kind == kind).unwrap();
    let (server, client) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!((server.parent, client.parent), (Some(0x00f0_67aa_0ba9_02b7), Some(server.context.span_id)));
    assert_eq!(seen["traceparent"], client.context.to_string());
    assert_eq!(format!("{:032x}", server.context.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn clients_cannot_make_up_label_values() {
    let gateway = TestGateway::start(&[("crm", echo(&[]))]).await;
    gateway.tools("/mcp").await;
    gateway.call("/mcp", "crm_echo", json!({})).await;
    gateway.call("/mcp/crm", "echo", json!({})).await;
    for n in 0..20 {
        gateway.call("/mcp", &format!("crm_made_up_{n}"), json!({})).await;
        gateway.call("/mcp/crm", &format!("made_up_{n}"), json!({})).await;
    }
    let metrics = gateway.metrics();
    for line in [
        r#"mcp_tool_calls_total{tool_name="crm_echo"} 2"#,
        r#"mcp_tool_calls_total{tool_name="unknown"} 40"#,
        r#"mcp_tool_errors_total{tool_name="unknown",error_type="unknown_tool"} 20"#,
        r#"mcp_tool_errors_total{tool_name="unknown",error_type="upstream_error"} 20"#,
        "mcp_tool_duration_seconds_count 42",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains("made_up"));
}
