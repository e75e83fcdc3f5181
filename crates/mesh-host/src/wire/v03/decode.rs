//! From the parameters of 0.3 to operations.

use crate::push::{Authentication, PushConfig};
use crate::wire::operate::{Method, Operation};
use crate::wire::params::{self, Configuration, PushParams, SendMessageParams};
use http::HeaderMap;
use mesh_core::model::Message;
use mesh_core::{A2aError, ContextId, MessageId, TaskId};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Decodes the parameters of one of 0.3's methods.
pub(crate) fn decode(method: Method, params: &str, headers: &HeaderMap) -> Result<Operation, A2aError> {
    match method {
        Method::SendMessage => send(params).map(Operation::Send),
        Method::SendStreamingMessage => send(params).map(Operation::SendStreaming),
        Method::CreatePushConfig => {
            let named: SetPush = params::decode(params)?;
            let mut config = named.push_notification_config.modern(named.task_id);
            if config.id.is_empty() {
                config.id.clone_from(&config.task_id);
            }
            Ok(Operation::CreatePush { config: Box::new(config), old: true })
        }
        Method::GetPushConfig => push(params).map(Operation::GetPush),
        Method::ListPushConfigs => push(params).map(Operation::ListPush),
        Method::DeletePushConfig => push(params).map(Operation::DeletePush),
        // The parameters of the others are the same.
        _ => Operation::decode(method, params, headers),
    }
}

#[derive(Deserialize)]
struct SendParams {
    message: OldMessage,
    #[serde(default)]
    configuration: Option<OldConfiguration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldConfiguration {
    #[serde(default)]
    history_length: Option<i64>,
    #[serde(default)]
    blocking: Option<bool>,
    #[serde(default)]
    push_notification_config: Option<OldPush>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetPush {
    task_id: String,
    push_notification_config: OldPush,
}

/// 0.3 names the task `id`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamePush {
    id: TaskId,
    #[serde(default)]
    push_notification_config_id: Option<String>,
}

#[derive(Deserialize)]
struct OldPush {
    #[serde(default)]
    id: Option<String>,
    url: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    authentication: Option<OldAuthentication>,
}

#[derive(Deserialize)]
struct OldAuthentication {
    schemes: Vec<String>,
    #[serde(default)]
    credentials: Option<String>,
}

impl OldPush {
    fn modern(self, task_id: String) -> PushConfig {
        PushConfig {
            tenant: None,
            id: self.id.unwrap_or_default(),
            task_id,
            url: self.url,
            token: self.token.unwrap_or_default(),
            // Without credentials, the schemes only say what would do.
            authentication: self.authentication.and_then(|old| {
                let (scheme, credentials) = (old.schemes.into_iter().next()?, old.credentials?);
                Some(Authentication { scheme, credentials })
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldMessage {
    message_id: MessageId,
    #[serde(default)]
    context_id: Option<ContextId>,
    #[serde(default)]
    task_id: Option<TaskId>,
    role: OldRole,
    parts: Vec<OldPart>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    extensions: Option<Vec<String>>,
    #[serde(default)]
    reference_task_ids: Option<Vec<TaskId>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OldRole {
    User,
    Agent,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum OldPart {
    Text {
        text: String,
        #[serde(default)]
        metadata: Option<Map<String, Value>>,
    },
    File {
        file: File,
        #[serde(default)]
        metadata: Option<Map<String, Value>>,
    },
    Data {
        #[serde(deserialize_with = "any")]
        data: Value,
        #[serde(default)]
        metadata: Option<Map<String, Value>>,
    },
}

/// Null is data too.
fn any<'de, D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
    Value::deserialize(d)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    bytes: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    mime_type: Option<String>,
}

fn send(params: &str) -> Result<SendMessageParams, A2aError> {
    let params: SendParams = params::decode(params)?;
    let old = params.message;
    let parts: Vec<Value> = old.parts.into_iter().map(part).collect();
    // The decoder of 1.0 checks what the two have in common: base64, depth, one content each.
    let message = json!({
        "messageId": old.message_id,
        "contextId": old.context_id,
        "taskId": old.task_id,
        "role": match old.role { OldRole::User => "ROLE_USER", OldRole::Agent => "ROLE_AGENT" },
        "parts": parts,
        "metadata": old.metadata,
        "extensions": old.extensions,
        "referenceTaskIds": old.reference_task_ids,
    });
    let message: Message =
        serde_json::from_value(message).map_err(|error| A2aError::invalid("params.message", error))?;
    let configuration = params.configuration.map(|old| Configuration {
        history_length: old.history_length,
        return_immediately: old.blocking.map(|blocking| !blocking),
        task_push_notification_config: old.push_notification_config.map(|push| push.modern(String::new())),
    });
    Ok(SendMessageParams { tenant: None, message, configuration, old: true })
}

/// Which configuration. A client that names none means the one that has the id of its task.
fn push(params: &str) -> Result<PushParams, A2aError> {
    let named: NamePush = params::decode(params)?;
    let id = named.push_notification_config_id.unwrap_or_else(|| named.id.to_string());
    Ok(PushParams { tenant: None, task_id: named.id, id })
}

/// The part as 1.0 has it.
fn part(part: OldPart) -> Value {
    match part {
        OldPart::Text { text, metadata } => json!({ "text": text, "metadata": metadata }),
        OldPart::File { file, metadata } => json!({
            "raw": file.bytes,
            "url": file.uri,
            "filename": file.name,
            "mediaType": file.mime_type,
            "metadata": metadata,
        }),
        OldPart::Data { data, metadata } => json!({ "data": data, "metadata": metadata }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(params: &Value) -> Result<SendMessageParams, A2aError> {
        send(&params.to_string())
    }

    #[test]
    fn a_message_of_old_is_the_same_message() {
        let params = sent(&json!({
            "message": {
                "kind": "message", "messageId": "m", "contextId": "c", "role": "user",
                "parts": [
                    {"kind": "text", "text": "a", "metadata": {"x": 1}},
                    {"kind": "file", "file": {"bytes": "aGk=", "name": "f", "mimeType": "text/plain"}},
                    {"kind": "file", "file": {"uri": "x:"}},
                    {"kind": "data", "data": {"n": [null]}},
                ],
            },
            "configuration": {"blocking": false, "historyLength": 2, "acceptedOutputModes": ["text/plain"]},
        }))
        .unwrap();
        let now = json!({
            "messageId": "m", "contextId": "c", "role": "ROLE_USER",
            "parts": [
                {"text": "a", "metadata": {"x": 1}},
                {"raw": "aGk=", "filename": "f", "mediaType": "text/plain"},
                {"url": "x:"},
                {"data": {"n": [null]}},
            ],
        });
        assert_eq!(serde_json::to_value(&params.message).unwrap(), now);
        let configuration = params.configuration.unwrap();
        assert_eq!((configuration.return_immediately, configuration.history_length), (Some(true), Some(2)));
    }

    #[test]
    fn what_is_no_message_of_either_is_refused() {
        let with = |part: Value| json!({"message": {"messageId": "m", "role": "user", "parts": [part]}});
        for params in [
            json!({}),
            json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": []}}),
            with(json!({"text": "a"})),
            with(json!({"kind": "video"})),
            with(json!({"kind": "file", "file": {}})),
            with(json!({"kind": "file", "file": {"bytes": "?"}})),
            with(json!({"kind": "file", "file": {"bytes": "aGk=", "uri": "x:"}})),
            with(json!({"kind": "data", "data": (0..40).fold(json!(1), |inner, _| json!([inner]))})),
        ] {
            let error = sent(&params).map(|_| ()).unwrap_err();
            assert!(error.message.starts_with("params"), "{error}");
        }
    }
}
