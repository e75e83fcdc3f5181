//! The lines of the worker protocol.

use mesh_core::model::Message;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Any line of the host: the fields of all its types, read in one pass.
#[derive(Deserialize)]
pub(super) struct HostLine<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) task: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) attempt: Option<u32>,
    #[serde(default)]
    pub(super) message: Option<Message>,
    #[serde(default)]
    pub(super) answers: Vec<Message>,
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) result: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<CallError>,
    #[serde(default)]
    pub(super) limits: Option<Limits>,
}

/// Why a call was refused or failed.
#[derive(Deserialize)]
pub(super) struct CallError {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

/// `config.limits`.
#[derive(Deserialize)]
pub(super) struct Limits {
    #[serde(default)]
    pub(super) line_bytes: Option<usize>,
}

/// JSON text of a string, quotes included.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// What a person wants to read of a call's result: the text of a tool's content, or of an agent's answer.
pub(super) fn text_of_result(result: &Value) -> String {
    let mut parts = Vec::new();
    for pointer in ["/content", "/message/parts"] {
        parts.extend(result.pointer(pointer).and_then(Value::as_array).into_iter().flatten());
    }
    if let Some(artifacts) = result.pointer("/task/artifacts").and_then(Value::as_array) {
        parts.extend(artifacts.iter().filter_map(|a| a["parts"].as_array()).flatten());
    }
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}
