//! The request, as far as it matters.

use serde::Deserialize;
use serde_json::Value;

/// A chat completion request. Everything else that frameworks send (`tool_choice`, `temperature` …) is ignored.
#[derive(Deserialize)]
pub(super) struct ChatRequest {
    #[serde(default)]
    pub(super) model: String,
    pub(super) messages: Vec<ChatMessage>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct ChatMessage {
    role: String,
    /// Text, `null`, or parts of which those with a `text` count.
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    function: Function,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: String,
}

impl ChatMessage {
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        }
    }
}

impl ChatRequest {
    /// What personas are found by.
    pub(super) fn instructions(&self) -> String {
        self.joined(|role| matches!(role, "system" | "developer" | "user"))
    }

    /// What captures search.
    pub(super) fn text(&self) -> String {
        self.joined(|_| true)
    }

    /// The texts of the tools' answers, oldest first.
    pub(super) fn results(&self) -> Vec<String> {
        self.messages.iter().filter(|m| m.role == "tool").map(ChatMessage::text).collect()
    }

    /// The names of the tools on offer.
    pub(super) fn tools(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().flatten().map(|tool| tool.function.name.as_str())
    }

    fn joined(&self, wanted: impl Fn(&str) -> bool) -> String {
        let texts: Vec<_> = self.messages.iter().filter(|m| wanted(&m.role)).map(ChatMessage::text).collect();
        texts.join("\n")
    }
}
