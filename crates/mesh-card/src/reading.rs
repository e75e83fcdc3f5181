//! What of a card is signed. The specification removes fields with default values (section 8.4.1), which takes knowledge of
//! the schema, and says nothing of fields that are not in it. Verifiers differ there, so a card can be signed as each of
//! them reads it.

use crate::canonical::{TooDeep, canonical};
use serde_json::{Map, Value};

/// How a verifier reads a card before it checks a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Every field, also those that are not in the schema; of the others no defaults.
    Whole,
    /// The fields of the schema, without defaults: the letter of section 8.4.1 for a verifier that knows no other fields.
    Known,
    /// The fields of the schema, without anything that is empty: what the official SDKs for Python and JavaScript do.
    Stripped,
}

impl Reading {
    /// From the one that covers most to the one that covers least.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Known, Self::Stripped];

    /// The payload of a signature.
    ///
    /// # Errors
    /// The card is nested too deep.
    pub fn payload(self, card: &Value) -> Result<String, TooDeep> {
        let mut read = match self {
            Self::Whole => message(card, CARD, true),
            Self::Known | Self::Stripped => message(card, CARD, false),
        };
        if let Value::Object(fields) = &mut read {
            fields.remove("signatures");
        }
        if self == Self::Stripped {
            read = stripped(read).unwrap_or_else(|| Value::Object(Map::new()));
        }
        canonical(&read)
    }

    /// The payloads under which a card has to be signed so that every reading finds one: one, if they all agree.
    ///
    /// # Errors
    /// The card is nested too deep.
    pub fn distinct(card: &Value) -> Result<Vec<String>, TooDeep> {
        // The reading of the official SDKs comes first: they try one signature after the other.
        let mut payloads = Vec::new();
        for reading in [Self::Stripped, Self::Known, Self::Whole] {
            let payload = reading.payload(card)?;
            if !payloads.contains(&payload) {
                payloads.push(payload);
            }
        }
        Ok(payloads)
    }

    /// Fields at the top of a card that a signature of this reading says nothing of.
    pub fn uncovered(self, card: &Value) -> Vec<&str> {
        let Some(fields) = card.as_object().filter(|_| self != Self::Whole) else { return Vec::new() };
        let known = |name: &str| CARD.iter().any(|field| field.name == name);
        fields.keys().map(String::as_str).filter(|name| !known(name)).collect()
    }
}

/// When a field is there, in the words of the protobuf definition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// `REQUIRED`: always.
    Required,
    /// `optional`: when it was set.
    Explicit,
    /// Neither: when it is not the default.
    Implicit,
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Holds {
    /// Text, a number, a flag, or a list of them.
    Plain,
    /// Any JSON.
    Any,
    Message(&'static [Field]),
    List(&'static [Field]),
    /// From names to messages.
    Map(&'static [Field]),
}

struct Field {
    name: &'static str,
    presence: Presence,
    holds: Holds,
}

const fn field(name: &'static str, presence: Presence, holds: Holds) -> Field {
    Field { name, presence, holds }
}

use Holds::{Any, List, Map as Entries, Message, Plain};
use Presence::{Explicit, Implicit, Required};

const CARD: &[Field] = &[
    field("name", Required, Plain),
    field("description", Required, Plain),
    field("supportedInterfaces", Required, List(INTERFACE)),
    field("provider", Implicit, Message(PROVIDER)),
    field("version", Required, Plain),
    field("documentationUrl", Explicit, Plain),
    field("capabilities", Required, Message(CAPABILITIES)),
    field("securitySchemes", Implicit, Entries(SECURITY_SCHEME)),
    field("securityRequirements", Implicit, List(SECURITY_REQUIREMENT)),
    field("defaultInputModes", Required, Plain),
    field("defaultOutputModes", Required, Plain),
    field("skills", Required, List(SKILL)),
    field("signatures", Implicit, Any),
    field("iconUrl", Explicit, Plain),
];

const INTERFACE: &[Field] = &[
    field("url", Required, Plain),
    field("protocolBinding", Required, Plain),
    field("tenant", Implicit, Plain),
    field("protocolVersion", Required, Plain),
];

const PROVIDER: &[Field] = &[field("url", Required, Plain), field("organization", Required, Plain)];

const CAPABILITIES: &[Field] = &[
    field("streaming", Explicit, Plain),
    field("pushNotifications", Explicit, Plain),
    field("extensions", Implicit, List(EXTENSION)),
    field("extendedAgentCard", Explicit, Plain),
];

const EXTENSION: &[Field] = &[
    field("uri", Implicit, Plain),
    field("description", Implicit, Plain),
    field("required", Implicit, Plain),
    field("params", Explicit, Any),
];

const SKILL: &[Field] = &[
    field("id", Required, Plain),
    field("name", Required, Plain),
    field("description", Required, Plain),
    field("tags", Required, Plain),
    field("examples", Implicit, Plain),
    field("inputModes", Implicit, Plain),
    field("outputModes", Implicit, Plain),
    field("securityRequirements", Implicit, List(SECURITY_REQUIREMENT)),
];

const SECURITY_REQUIREMENT: &[Field] = &[field("schemes", Implicit, Entries(SCOPES))];
const SCOPES: &[Field] = &[field("list", Implicit, Plain)];

const SECURITY_SCHEME: &[Field] = &[
    field("apiKeySecurityScheme", Explicit, Message(API_KEY)),
    field("httpAuthSecurityScheme", Explicit, Message(HTTP_AUTH)),
    field("oauth2SecurityScheme", Explicit, Message(OAUTH2)),
    field("openIdConnectSecurityScheme", Explicit, Message(OPEN_ID_CONNECT)),
    field("mtlsSecurityScheme", Explicit, Message(MUTUAL_TLS)),
];

const API_KEY: &[Field] = &[
    field("description", Implicit, Plain),
    field("location", Required, Plain),
    field("name", Required, Plain),
];
const HTTP_AUTH: &[Field] = &[
    field("description", Implicit, Plain),
    field("scheme", Required, Plain),
    field("bearerFormat", Implicit, Plain),
];
const OAUTH2: &[Field] = &[
    field("description", Implicit, Plain),
    field("flows", Required, Message(FLOWS)),
    field("oauth2MetadataUrl", Implicit, Plain),
];
const OPEN_ID_CONNECT: &[Field] =
    &[field("description", Implicit, Plain), field("openIdConnectUrl", Required, Plain)];
const MUTUAL_TLS: &[Field] = &[field("description", Implicit, Plain)];

const FLOWS: &[Field] = &[
    field("authorizationCode", Explicit, Message(AUTHORIZATION_CODE)),
    field("clientCredentials", Explicit, Message(CLIENT_CREDENTIALS)),
    field("implicit", Explicit, Message(OLD_FLOW)),
    field("password", Explicit, Message(OLD_FLOW)),
    field("deviceCode", Explicit, Message(DEVICE_CODE)),
];
const AUTHORIZATION_CODE: &[Field] = &[
    field("authorizationUrl", Required, Plain),
    field("tokenUrl", Required, Plain),
    field("refreshUrl", Implicit, Plain),
    field("scopes", Required, Any),
    field("pkceRequired", Implicit, Plain),
];
const CLIENT_CREDENTIALS: &[Field] = &[
    field("tokenUrl", Required, Plain),
    field("refreshUrl", Implicit, Plain),
    field("scopes", Required, Any),
];
const DEVICE_CODE: &[Field] = &[
    field("deviceAuthorizationUrl", Required, Plain),
    field("tokenUrl", Required, Plain),
    field("refreshUrl", Implicit, Plain),
    field("scopes", Required, Any),
];
const OLD_FLOW: &[Field] = &[
    field("authorizationUrl", Implicit, Plain),
    field("tokenUrl", Implicit, Plain),
    field("refreshUrl", Implicit, Plain),
    field("scopes", Implicit, Plain),
];

/// A message without defaults. What is no object stays as it is: then it is not a card, and no signature will fit.
fn message(value: &Value, schema: &[Field], unknown: bool) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut read = Map::new();
    for (name, value) in fields {
        match schema.iter().find(|field| field.name == name) {
            Some(_) if value.is_null() => {}
            Some(field) => {
                let value = held(value, field.holds, unknown);
                if field.presence != Implicit || !is_default(&value, field.holds) {
                    read.insert(name.clone(), value);
                }
            }
            None if unknown => {
                read.insert(name.clone(), value.clone());
            }
            None => {}
        }
    }
    Value::Object(read)
}

fn held(value: &Value, holds: Holds, unknown: bool) -> Value {
    match (holds, value) {
        (Message(schema), value) => message(value, schema, unknown),
        (List(schema), Value::Array(items)) => {
            items.iter().map(|item| message(item, schema, unknown)).collect()
        }
        (Entries(schema), Value::Object(entries)) => Value::Object(
            entries.iter().map(|(name, value)| (name.clone(), message(value, schema, unknown))).collect(),
        ),
        _ => value.clone(),
    }
}

/// A message that is there is no default, however empty it is.
fn is_default(value: &Value, holds: Holds) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && !matches!(holds, Message(_)),
    }
}

/// Without empty text, lists and objects, at any depth.
fn stripped(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(stripped).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.into_iter().filter_map(|(name, value)| Some((name, stripped(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Section 8.4.1.
    #[test]
    fn the_example_of_the_specification_comes_out_as_the_specification_has_it() {
        let card = json!({
            "name": "Example Agent",
            "description": "",
            "capabilities": { "streaming": false, "pushNotifications": false, "extensions": [] },
            "skills": []
        });
        let expected = r#"{"capabilities":{"pushNotifications":false,"streaming":false},"description":"","name":"Example Agent","skills":[]}"#;
        assert_eq!(Reading::Known.payload(&card).unwrap(), expected);
        assert_eq!(
            Reading::Stripped.payload(&card).unwrap(),
            r#"{"capabilities":{"pushNotifications":false,"streaming":false},"name":"Example Agent"}"#
        );
    }

    #[test]
    fn defaults_go_required_and_optional_fields_stay_and_the_readings_differ_in_the_rest() {
        let card = json!({
            "name": "a", "documentationUrl": "", "iconUrl": null, "provider": {}, "url": "http://old", "security": [],
            "supportedInterfaces": [{ "url": "u", "tenant": "", "x": 1 }],
            "capabilities": { "extensions": [{ "uri": "e", "required": false, "params": { "a": "", "b": {} } }] },
            "securitySchemes": { "none": { "mtlsSecurityScheme": { "description": "" } } },
            "securityRequirements": [{ "schemes": { "none": { "list": [] } } }],
            "signatures": [{ "protected": "p", "signature": "s" }],
        });
        let read =
            |reading: Reading| -> Value { serde_json::from_str(&reading.payload(&card).unwrap()).unwrap() };
        let known = json!({
            "name": "a", "documentationUrl": "", "provider": {},
            "supportedInterfaces": [{ "url": "u" }],
            "capabilities": { "extensions": [{ "uri": "e", "params": { "a": "", "b": {} } }] },
            "securitySchemes": { "none": { "mtlsSecurityScheme": {} } },
            "securityRequirements": [{ "schemes": { "none": {} } }],
        });
        assert_eq!(read(Reading::Known), known);
        let mut whole = known;
        whole["url"] = json!("http://old");
        whole["security"] = json!([]);
        whole["supportedInterfaces"][0]["x"] = json!(1);
        assert_eq!(read(Reading::Whole), whole);
        let stripped = json!({
            "name": "a", "supportedInterfaces": [{ "url": "u" }], "capabilities": { "extensions": [{ "uri": "e" }] },
        });
        assert_eq!(read(Reading::Stripped), stripped);
        assert_eq!(Reading::distinct(&card).unwrap().len(), 3);
        assert_eq!(Reading::Known.uncovered(&card), ["url", "security"]);
        assert!(Reading::Whole.uncovered(&card).is_empty());
    }

    #[test]
    fn a_card_without_old_fields_and_empty_values_has_one_reading() {
        let card = json!({
            "name": "a", "description": "d", "version": "1", "defaultInputModes": ["text/plain"],
            "capabilities": { "streaming": true, "extensions": [{ "uri": "e", "required": false }] },
        });
        assert_eq!(Reading::distinct(&card).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_card_is_read_without_a_panic() {
        for card in
            [json!(null), json!(7), json!([]), json!({ "skills": 1, "capabilities": [], "provider": "x" })]
        {
            for reading in Reading::ALL {
                assert!(reading.payload(&card).is_ok());
            }
        }
    }
}
