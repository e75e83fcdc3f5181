use crate::support::{Served, events, message, read, request, text};
use http::StatusCode;
use mesh_host::EVENT_LOG_EXTENSION;
use serde_json::{Value, json};

const MUST: &str = "https://example.com/must/v1";

fn rpc(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

#[tokio::test]
async fn the_answer_names_the_extensions_in_force_and_no_others() {
    let served = Served::start().await;
    for (verb, path, body) in [
        ("POST", "/message:send", message("hello").to_string()),
        ("POST", "/message:stream", message("hello").to_string()),
        ("POST", "/", rpc("SendMessage", &message("hello"))),
        ("GET", "/tasks/nobody", String::new()),
    ] {
        let plain = served.call(request(verb, path, &body)).await;
        assert_eq!(plain.headers().get("a2a-extensions"), None);
        let mut asking = request(verb, path, &body.replace("messageId\":\"", "messageId\":\"x"));
        let wanted = format!("urn:nobody, {EVENT_LOG_EXTENSION}");
        asking.headers_mut().insert("a2a-extensions", wanted.parse().unwrap());
        assert_eq!(served.call(asking).await.headers()["a2a-extensions"], EVENT_LOG_EXTENSION, "{path}");
    }
    served.stop().await;
}

#[tokio::test]
async fn an_extension_that_is_required_must_be_asked_for() {
    let card = format!("    card: {{ extensions: [{{ uri: {MUST:?}, required: true }}] }}\n");
    let served = Served::with(&card).await;
    let (status, error) = served.get("/tasks").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["details"][0]["reason"], "EXTENSION_SUPPORT_REQUIRED");
    let (_, error) = read(served.call(request("POST", "/", &rpc("ListTasks", &json!({})))).await).await;
    assert_eq!(error["error"]["code"], -32008);
    let mut asking = request("GET", "/tasks", "");
    asking.headers_mut().insert("a2a-extensions", MUST.parse().unwrap());
    assert_eq!(served.call(asking).await.status(), StatusCode::OK);
    let (_, card) = read(served.call(request("GET", "/.well-known/agent-card.json", "")).await).await;
    let declared = card["capabilities"]["extensions"].as_array().unwrap();
    assert!(declared.contains(&json!({ "uri": MUST, "required": true })), "{declared:?}");
    served.stop().await;
}

#[tokio::test]
async fn the_extensions_of_a_message_come_back_with_it() {
    let served = Served::start().await;
    let mut sent = message("hello");
    sent["message"]["extensions"] = json!([MUST]);
    let (_, answer) = served.post("/message:send", &sent).await;
    assert_eq!(answer["task"]["history"][0]["extensions"], json!([MUST]));
    served.stop().await;
}

#[tokio::test]
async fn a_subscriber_resumes_by_a_field_a_parameter_or_the_header_and_the_header_wins() {
    let served = Served::start().await;
    let id = served.send("hello").await["id"].as_str().unwrap().to_owned();
    let subscribe = format!("/tasks/{id}:subscribe");
    let mut resume = request("GET", &subscribe, "");
    resume.headers_mut().insert("last-event-id", "0".parse().unwrap());
    let all = events(&text(served.call(resume).await).await);
    let field = |after: Value| json!({ "afterEvent": after, "id": id }).to_string();
    for asking in [
        request("GET", &format!("{subscribe}?afterEvent=2"), ""),
        request("POST", &subscribe, &field(json!(2))),
        request("POST", &subscribe, &field(json!("2"))),
        request("POST", &format!("{subscribe}?afterEvent=2"), &field(json!(1))),
    ] {
        assert_eq!(events(&text(served.call(asking).await).await), all[2..]);
    }
    for after in [json!(2), json!("2")] {
        let body = rpc("SubscribeToTask", &json!({ "id": id, "afterEvent": after }));
        let seen = events(&text(served.call(request("POST", "/", &body)).await).await);
        assert_eq!(
            seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            (3..=all.len() as u64).collect::<Vec<_>>()
        );
        let mut again = request("POST", "/", &body);
        again.headers_mut().insert("last-event-id", "3".parse().unwrap());
        assert_eq!(events(&text(served.call(again).await).await)[0].0, 4);
    }
    for wrong in
        [json!(-1), json!(1.5), json!("x"), json!(""), json!("+1"), json!(true), json!([]), json!(99)]
    {
        let body = rpc("SubscribeToTask", &json!({ "id": id, "afterEvent": wrong }));
        let (_, error) = read(served.call(request("POST", "/", &body)).await).await;
        assert_eq!(error["error"]["code"], -32602, "{wrong}");
        let (status, _) = read(served.call(request("POST", &subscribe, &field(wrong.clone()))).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(served.get(&format!("{subscribe}?afterEvent=x")).await.0, StatusCode::BAD_REQUEST);
    let (_, error) = served.get(&format!("{subscribe}?afterEvent=99")).await;
    assert!(error["error"]["message"].as_str().unwrap().starts_with("afterEvent: "), "{error}");
    served.stop().await;
}
