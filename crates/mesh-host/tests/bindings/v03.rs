use crate::support::{Served, events, read, text};
use axum::body::Body;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

/// A client of 0.3 says no version; a careful one does.
async fn call(served: &Served, version: Option<&str>, method: &str, params: &Value) -> Response<Body> {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let mut request = Request::post("/").header("content-type", "application/json");
    if let Some(version) = version {
        request = request.header("a2a-version", version);
    }
    served.call(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn ask(served: &Served, method: &str, params: Value) -> Value {
    let (status, answer) = read(call(served, None, method, &params).await).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
    answer
}

fn message(text: &str) -> Value {
    let id = mesh_core::MessageId::generate();
    let parts = [json!({ "kind": "text", "text": text })];
    json!({ "message": { "kind": "message", "messageId": id, "role": "user", "parts": parts } })
}

#[tokio::test]
async fn a_client_of_old_sends_reads_and_cannot_cancel() {
    let served = Served::start().await;
    let task = &ask(&served, "message/send", message("hello")).await["result"];
    assert_eq!((&task["kind"], &task["status"]["state"]), (&json!("task"), &json!("completed")));
    assert_eq!(task["history"][0]["role"], "user");
    assert_eq!(task["artifacts"][0]["parts"][2], json!({"kind": "file", "file": {"bytes": "aGk="}}));
    let id = &task["id"];
    assert_eq!(ask(&served, "tasks/get", json!({ "id": id })).await["result"], *task);
    let short = ask(&served, "tasks/get", json!({ "id": id, "historyLength": 0 })).await;
    assert_eq!(short["result"].get("history"), None);
    assert_eq!(ask(&served, "tasks/cancel", json!({ "id": id })).await["error"]["code"], -32002);
    assert_eq!(ask(&served, "tasks/get", json!({ "id": "nobody" })).await["error"]["code"], -32001);
    served.stop().await;
}

#[tokio::test]
async fn a_stream_of_old_has_kinds_and_says_which_event_is_the_last() {
    let served = Served::start().await;
    let all = events(&text(call(&served, Some("0.3.0"), "message/stream", &message("hello")).await).await);
    let kinds: Vec<_> = all.iter().map(|(_, data)| data["result"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "task");
    assert!(kinds.contains(&"artifact-update"));
    let (last, others) = all.split_last().unwrap();
    assert_eq!(
        (&last.1["result"]["kind"], &last.1["result"]["final"]),
        (&json!("status-update"), &json!(true))
    );
    assert!(others.iter().all(|(_, data)| data["result"].get("final") != Some(&json!(true))));
    served.stop().await;
}

#[tokio::test]
async fn a_client_of_old_answers_a_question_and_taps_and_cancels_a_task() {
    let served = Served::start().await;
    let asked = ask(&served, "message/send", message("ask")).await["result"].clone();
    assert_eq!(asked["status"]["state"], "input-required");
    assert_eq!(asked["status"]["message"]["parts"][0], json!({"kind": "text", "text": "Who?"}));
    let mut answer = message("Ada");
    answer["message"]["taskId"] = asked["id"].clone();
    assert_eq!(ask(&served, "message/send", answer).await["result"]["status"]["state"], "completed");

    let mut begin = message("wait");
    begin["configuration"] = json!({ "blocking": false });
    let id = ask(&served, "message/send", begin).await["result"]["id"].clone();
    let tap = call(&served, None, "tasks/resubscribe", &json!({ "id": id })).await;
    let canceled = ask(&served, "tasks/cancel", json!({ "id": id })).await;
    assert_eq!(canceled["result"]["status"]["state"], "canceled");
    let seen = events(&text(tap).await);
    assert_eq!(seen.last().unwrap().1["result"]["status"]["state"], "canceled");
    served.stop().await;
}

#[tokio::test]
async fn a_client_of_old_is_told_of_its_push_configurations_in_its_words() {
    let served = Served::start().await;
    let sent = ask(&served, "message/send", message("ask")).await;
    let id = sent["result"]["id"].as_str().unwrap();
    let config = json!({
        "id": "a", "url": "http://127.0.0.1:1/", "token": "t",
        "authentication": { "schemes": ["Bearer"], "credentials": "c" }
    });
    let whole = json!({ "taskId": id, "pushNotificationConfig": config });
    let push = |method: &str, params: Value| {
        let method = format!("tasks/pushNotificationConfig/{method}");
        let served = &served;
        async move { ask(served, &method, params).await["result"].clone() }
    };
    assert_eq!(push("set", whole.clone()).await, whole);
    let one = json!({ "id": id, "pushNotificationConfigId": "a" });
    assert_eq!(push("get", one.clone()).await, whole);
    assert_eq!(push("list", json!({ "id": id })).await, json!([whole]));
    assert_eq!(push("delete", one).await, Value::Null);
    assert_eq!(push("list", json!({ "id": id })).await, json!([]));
    served.stop().await;
}

#[tokio::test]
async fn what_is_not_there_has_the_codes_of_old() {
    let served = Served::start().await;
    for (method, params, code) in [
        ("tasks/pushNotificationConfig/set", json!({}), -32602),
        ("tasks/pushNotificationConfig/get", json!({ "id": "1" }), -32001),
        ("tasks/pushNotificationConfig/list", json!({ "id": "1" }), -32001),
        ("agent/getAuthenticatedExtendedCard", json!({}), -32004),
        ("tasks/list", json!({}), -32601),
        ("message/send", json!({}), -32602),
        ("message/send", json!({ "message": { "messageId": "", "role": "user", "parts": [] } }), -32602),
    ] {
        assert_eq!(ask(&served, method, params).await["error"]["code"], code, "{method}");
    }
    for (version, method, code) in [
        (Some("1.0"), "message/send", -32601),
        (Some("0.3"), "SendMessage", -32009),
        (Some("0.3"), "nothing", -32601),
        (Some("0.2"), "message/send", -32009),
        (None, "SendMessage", -32009),
        (Some(""), "SendMessage", -32009),
        (Some(""), "nothing", -32601),
    ] {
        let (_, answer) = read(call(&served, version, method, &message("x")).await).await;
        assert_eq!(answer["error"]["code"], code, "{version:?} {method}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_client_of_old_that_asks_for_a_stream_is_refused_in_a_stream() {
    let served = Served::start().await;
    let id = ask(&served, "message/send", message("hello")).await["result"]["id"].clone();
    for (method, params, code) in [
        ("tasks/resubscribe", json!({ "id": "nobody" }), -32001),
        ("tasks/resubscribe", json!({ "id": id }), -32004),
        ("message/stream", json!({}), -32602),
    ] {
        let response = call(&served, None, method, &params).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let stream = text(response).await;
        let data = stream.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
        let answer: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(code)), "{method}");
    }
    served.stop().await;
}

#[tokio::test]
async fn one_card_is_read_by_both() {
    let served = Served::start().await;
    let silent = Request::get("/.well-known/agent-card.json").body(Body::empty()).unwrap();
    let (_, card) = read(served.call(silent).await).await;
    assert_eq!(card["url"], "http://127.0.0.1:8090/");
    assert_eq!((&card["protocolVersion"], &card["preferredTransport"]), (&json!("0.3.0"), &json!("JSONRPC")));
    assert_eq!(card["supportedInterfaces"][0]["protocolVersion"], "1.0");
    let read: Result<a2a::AgentCard, _> = serde_json::from_value(card);
    assert_eq!(read.unwrap().supported_interfaces.len(), 4);
    served.stop().await;
}
