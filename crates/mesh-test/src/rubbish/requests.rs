//! Requests that are right: what the malformed ones are made from.

use super::cases::Kind;
use crate::random::Random;
use serde_json::{Value, json};

/// A JSON-RPC request of the kind's protocol.
pub(super) fn valid(kind: Kind, tool: &str, random: &mut Random) -> Value {
    let (method, params) = match kind {
        Kind::A2a => a2a(random),
        Kind::Mcp => mcp(tool, random),
        Kind::Http => ("ping", json!({})),
    };
    json!({"jsonrpc": "2.0", "id": random.below(1 << 20), "method": method, "params": params})
}

fn a2a(random: &mut Random) -> (&'static str, Value) {
    let id = format!("rubbish-{:016x}", random.below(usize::MAX));
    let message = json!({
        "messageId": id, "role": "ROLE_USER", "parts": [{"text": "echo rubbish"}],
        "metadata": {"a": 1}, "extensions": [], "referenceTaskIds": [],
    });
    let configuration =
        json!({"returnImmediately": true, "historyLength": 3, "acceptedOutputModes": ["text/plain"]});
    match random.below(10) {
        0..=2 => ("SendMessage", json!({"message": message, "configuration": configuration})),
        3 => ("SendStreamingMessage", json!({"message": message})),
        4 => ("GetTask", json!({"id": id, "historyLength": 1})),
        5 => (
            "ListTasks",
            json!({"contextId": "c", "status": "TASK_STATE_WORKING", "pageSize": 10, "pageToken": "",
            "historyLength": 0, "statusTimestampAfter": "2026-01-01T00:00:00Z", "includeArtifacts": true}),
        ),
        6 => ("CancelTask", json!({"id": id})),
        7 => ("SubscribeToTask", json!({"id": id})),
        8 => (
            "CreateTaskPushNotificationConfig",
            json!({"taskId": id, "id": "c", "url": "http://127.0.0.1:1/hook", "token": "t",
                "authentication": {"scheme": "Bearer", "credentials": "x"}}),
        ),
        _ => ("GetExtendedAgentCard", json!({})),
    }
}

fn mcp(tool: &str, random: &mut Random) -> (&'static str, Value) {
    let mut request = match random.below(8) {
        0..=2 => ("tools/call", json!({"name": tool, "arguments": {"text": "rubbish", "n": 1}})),
        3 => ("tools/list", json!({"cursor": ""})),
        4 => (
            "initialize",
            json!({"protocolVersion": "2025-11-25", "capabilities": {"roots": {"listChanged": true}},
                "clientInfo": {"name": "rubbish", "version": "1"}}),
        ),
        5 => ("ping", json!({})),
        6 => ("prompts/get", json!({"name": "p", "arguments": {}})),
        _ => ("resources/read", json!({"uri": "file:///etc/passwd"})),
    };
    if random.one_in(2) {
        request.1["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": 1,
        });
    }
    request
}
