//! The scripted model over HTTP.

use mesh_test::model::{Script, ScriptedModel};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
personas:
  - match: "Sales"
    capture: { customer: "C-[0-9]+" }
    delay_ms: 1
    steps:
      - call: get_customer
        arguments: { customer_id: "{{customer}}" }
      - say: "Proposal for {{result.0./name}} is ready"
"#;

fn request(messages: &Value, stream: bool) -> Value {
    json!({
        "model": "m", "messages": messages, "stream": stream, "stream_options": {"include_usage": true},
        "tools": [{"type": "function", "function": {"name": "get_customer", "parameters": {}}}],
    })
}

async fn post(model: &ScriptedModel, body: String) -> (u16, String) {
    let url = format!("{}/chat/completions", model.base_url());
    let response = reqwest::Client::new().post(url).body(body).send().await.expect("the model answers");
    (response.status().as_u16(), response.text().await.expect("text"))
}

#[tokio::test]
async fn a_conversation_goes_through_its_steps_whole_and_streamed() {
    let model = ScriptedModel::start(Script::parse(SCRIPT).unwrap()).await.unwrap();
    let mut messages = json!([{"role": "user", "content": "Sales for C-17"}]);
    let (status, body) = post(&model, request(&messages, false).to_string()).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &answer["choices"][0]["finish_reason"]), (200, &json!("tool_calls")));
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"customer_id":"C-17"}"#);

    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": r#"{"name": "Ada"}"#});
    messages.as_array_mut().unwrap().push(result);
    let (_, body) = post(&model, request(&messages, true).to_string()).await;
    let events: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Proposal for Ada is ready");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[chunks.len() - 1]["usage"]["completion_tokens"], 5);
    assert!(chunks[0]["usage"].is_null());

    let stats: Value =
        serde_json::from_str(&reqwest::get(model.stats_url()).await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(stats, json!({"requests": 2, "refused": 0}));
}

#[tokio::test]
async fn errors_have_the_shape_of_openai() {
    let model = ScriptedModel::start(Script::parse(SCRIPT).unwrap()).await.unwrap();
    for (body, status, expected) in [
        ("{".to_owned(), 400, "the request"),
        (request(&json!([{"role": "user", "content": "hi"}]), true).to_string(), 400, "no persona"),
        (
            request(&json!([{"role": "user", "content": "Sales"}]), false).to_string(),
            400,
            "capture `customer`",
        ),
        ("x".repeat((16 << 20) + 1), 413, ""),
    ] {
        let (got, text) = post(&model, body).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(got, status);
        assert!(error["error"]["message"].as_str().unwrap().contains(expected), "{text}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }
}
