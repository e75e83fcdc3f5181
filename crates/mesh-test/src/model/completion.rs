//! The answer in OpenAI's two shapes: one object, or chunks.

use super::conversation::ChatRequest;
use super::decide::{Answer, Decision};
use serde_json::{Value, json};

/// The same moment for every answer, so that answers can be compared.
const CREATED: u64 = 1_700_000_000;

/// `chat.completion`.
pub(super) fn whole(request: &ChatRequest, decision: &Decision) -> Value {
    let message = match &decision.answer {
        Answer::Say(text) => json!({"role": "assistant", "content": text, "refusal": null}),
        Answer::Call { .. } => json!({
            "role": "assistant", "content": null, "refusal": null,
            "tool_calls": [tool_call(decision)],
        }),
    };
    json!({
        "id": format!("chatcmpl-{}", decision.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": request.model,
        "choices": [{
            "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(decision),
        }],
        "usage": usage(request, decision),
    })
}

/// The `chat.completion.chunk` objects of a stream, without the `[DONE]` that ends it.
pub(super) fn pieces(request: &ChatRequest, decision: &Decision) -> Vec<Value> {
    let with_usage = request.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false);
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", decision.id),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": request.model,
            "choices": choices,
        });
        if with_usage {
            chunk["usage"] = usage;
        }
        chunk
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };
    let mut pieces = Vec::new();
    match &decision.answer {
        Answer::Say(text) => {
            pieces.push(delta(json!({"role": "assistant", "content": ""}), Value::Null));
            pieces.extend(words(text).map(|word| delta(json!({"content": word}), Value::Null)));
        }
        Answer::Call { arguments, .. } => {
            let mut begin = tool_call(decision);
            begin["index"] = json!(0);
            begin["function"]["arguments"] = json!("");
            let first = json!({"role": "assistant", "content": null, "tool_calls": [begin]});
            pieces.push(delta(first, Value::Null));
            pieces.extend(words(arguments).map(|piece| {
                let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
                delta(more, Value::Null)
            }));
        }
    }
    pieces.push(delta(json!({}), json!(finish_reason(decision))));
    if with_usage {
        pieces.push(chunk(json!([]), usage(request, decision)));
    }
    pieces
}

fn tool_call(decision: &Decision) -> Value {
    let Answer::Call { name, arguments } = &decision.answer else { return Value::Null };
    json!({
        "id": format!("call_{}", decision.id),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    })
}

fn finish_reason(decision: &Decision) -> &'static str {
    match decision.answer {
        Answer::Say(_) => "stop",
        Answer::Call { .. } => "tool_calls",
    }
}

/// Words with the space that follows each: joined again, they are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// A token is a word here.
fn usage(request: &ChatRequest, decision: &Decision) -> Value {
    let said = match &decision.answer {
        Answer::Say(text) => text,
        Answer::Call { arguments, .. } => arguments,
    };
    let prompt = request.text().split_whitespace().count();
    let completion = said.split_whitespace().count();
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
    })
}
