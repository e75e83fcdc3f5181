//! Flags, and values that mean nothing here and are passed on as JSON.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json, json};

use crate::context::{Context, shorten};
use crate::schema::or_reference;
use crate::section::Kind;
use crate::tree::{Node, Value};

/// `true` or `false`.
pub(crate) enum Flag {}

impl Kind for Flag {
    type Value = bool;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<bool> {
        const WHAT: &str = "true or false";
        let scalar = cx.scalar(node, WHAT)?;
        let flag = scalar.text.parse().ok();
        if flag.is_none() {
            cx.expected(node, WHAT);
        }
        flag
    }

    fn render(value: &bool) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        or_reference(&json_schema!({ "type": "boolean" }))
    }
}

/// A mapping of anything.
pub(crate) enum JsonObject {}

impl Kind for JsonObject {
    type Value = Map<String, Json>;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        if !matches!(node.value, Value::Map(_)) {
            cx.expected(node, "a mapping");
            return None;
        }
        match json_of(node, cx)? {
            Json::Object(fields) => Some(fields),
            _ => None,
        }
    }

    fn render(value: &Self::Value) -> Json {
        Json::Object(value.iter().map(|(name, value)| (name.clone(), escaped(value))).collect())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": true })
    }
}

/// Words without quotes are what YAML takes them for, as far as JSON has it.
pub(super) fn json_of(node: &Node, cx: &mut Context<'_>) -> Option<Json> {
    Some(match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { plain, .. } => {
            let scalar = cx.scalar(node, "a value")?;
            let typed = (*plain && !scalar.referenced).then(|| serde_json::from_str(&scalar.text).ok());
            let typed = typed.flatten().filter(|value: &Json| !value.is_string());
            if matches!(&typed, Some(Json::Number(number)) if number.is_f64() && digits(&scalar.text) > EXACT)
            {
                let message = format!("`{}` has more digits than a number keeps", shorten(&scalar.text));
                cx.error_with_help(node.span, message, "write it in quotes, as text");
                return None;
            }
            typed.unwrap_or(Json::String(scalar.text))
        }
        Value::List(items) => {
            Json::Array(items.iter().map(|item| json_of(item, cx)).collect::<Option<Vec<_>>>()?)
        }
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| {
                    let value = cx.inside(&entry.key, entry.key_span, |cx| json_of(&entry.node, cx))?;
                    Some((entry.key.clone(), value))
                })
                .collect::<Option<Map<_, _>>>()?,
        ),
    })
}

/// How many digits a number that is no integer of 64 bits keeps at least.
const EXACT: usize = 15;

/// How many digits of a number mean something.
fn digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').len()
}

/// What is text now must not become a reference when it is read again.
pub(super) fn escaped(value: &Json) -> Json {
    match value {
        Json::String(text) => json!(text.replace('$', "$$")),
        Json::Array(items) => items.iter().map(escaped).collect(),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), escaped(value))).collect())
        }
        other => other.clone(),
    }
}
