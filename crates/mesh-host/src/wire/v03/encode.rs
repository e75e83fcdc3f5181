//! From outcomes and events to the objects of 0.3.

use crate::push::PushConfig;
use crate::wire::operate::{Answer, Outcome};
use mesh_core::A2aError;
use mesh_core::event::StreamResponse;
use mesh_core::model::{Artifact, Content, Message, Metadata, Part, Role, Task, TaskState, TaskStatus};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Encodes what a method of 0.3 comes to.
pub(crate) fn answer(outcome: Outcome) -> Result<Answer, A2aError> {
    match outcome {
        Outcome::Sent(whole) | Outcome::Task(whole) => {
            serde_json::to_vec(&task(*whole)).map(Answer::Json).map_err(|_| A2aError::internal())
        }
        Outcome::Stream(subscription) => Ok(Answer::Stream(subscription)),
        Outcome::PushConfig(config) => json(&push_config(*config)),
        Outcome::PushConfigs(configs) => json(&Value::Array(configs.into_iter().map(push_config).collect())),
        Outcome::Card(published) => {
            let forms = published.extended.as_ref().ok_or_else(A2aError::internal)?;
            Ok(Answer::Json(forms.both.body.to_vec()))
        }
        Outcome::Nothing => json(&Value::Null),
        // 0.3 lists no tasks, and has no names for our extensions.
        Outcome::Page(_) | Outcome::Context(_) | Outcome::Retried(_) => Err(A2aError::internal()),
    }
}

fn json(value: &Value) -> Result<Answer, A2aError> {
    serde_json::to_vec(value).map(Answer::Json).map_err(|_| A2aError::internal())
}

fn push_config(config: PushConfig) -> Value {
    let PushConfig { task_id, id, url, token, authentication, .. } = config;
    let old = with(json!({ "id": id, "url": url }), "token", Some(token).filter(|token| !token.is_empty()));
    let authentication =
        authentication.map(|a| json!({ "schemes": [a.scheme], "credentials": a.credentials }));
    json!({ "taskId": task_id, "pushNotificationConfig": with(old, "authentication", authentication) })
}

/// An event of the log, and whether the stream ends with it.
pub(crate) fn event(public: &[u8]) -> Result<(Vec<u8>, bool), serde_json::Error> {
    let (value, last) = match serde_json::from_slice::<StreamResponse>(public)? {
        StreamResponse::Task(whole) => {
            let last = ends(whole.status.state);
            (task(*whole), last)
        }
        StreamResponse::Message(whole) => (message(*whole), true),
        StreamResponse::StatusUpdate(update) => {
            let last = ends(update.status.state);
            let value = json!({
                "kind": "status-update",
                "taskId": update.task_id,
                "contextId": update.context_id,
                "status": status(update.status),
                "final": last,
            });
            (with(value, "metadata", update.metadata), last)
        }
        StreamResponse::ArtifactUpdate(update) => {
            let value = json!({
                "kind": "artifact-update",
                "taskId": update.task_id,
                "contextId": update.context_id,
                "artifact": artifact(update.artifact),
                "append": update.append.unwrap_or(false),
                "lastChunk": update.last_chunk.unwrap_or(false),
            });
            (value, false)
        }
    };
    Ok((serde_json::to_vec(&value)?, last))
}

fn ends(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::InputRequired
}

/// Adds a field that is left out when there is nothing in it.
fn with(mut object: Value, name: &str, field: Option<impl Serialize>) -> Value {
    if let Some(field) = field {
        object[name] = json!(field);
    }
    object
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// A whole task.
pub(crate) fn task(task: Task) -> Value {
    let value = json!({
        "kind": "task",
        "id": task.id,
        "contextId": task.context_id,
        "status": status(task.status),
    });
    let value = with(value, "artifacts", some(task.artifacts.into_iter().map(artifact).collect()));
    let value = with(value, "history", some(task.history.into_iter().map(message).collect()));
    with(value, "metadata", task.metadata)
}

fn status(status: TaskStatus) -> Value {
    let value = json!({ "state": status.state.short_name() });
    let value = with(value, "message", status.message.map(message));
    with(value, "timestamp", status.timestamp)
}

fn message(message: Message) -> Value {
    let role = match message.role {
        Role::User => "user",
        Role::Agent => "agent",
    };
    let parts: Vec<Value> = message.parts.into_iter().map(part).collect();
    let value = json!({ "kind": "message", "messageId": message.message_id, "role": role, "parts": parts });
    let value = with(value, "contextId", message.context_id);
    let value = with(value, "taskId", message.task_id);
    let value = with(value, "metadata", message.metadata);
    let value = with(value, "extensions", some(message.extensions));
    with(value, "referenceTaskIds", some(message.reference_task_ids))
}

fn artifact(artifact: Artifact) -> Value {
    let parts: Vec<Value> = artifact.parts.into_iter().map(part).collect();
    let value = json!({ "artifactId": artifact.artifact_id, "parts": parts });
    let value = with(value, "name", artifact.name);
    let value = with(value, "description", artifact.description);
    let value = with(value, "metadata", artifact.metadata);
    with(value, "extensions", some(artifact.extensions))
}

/// Data of 0.3 is an object. What is none is wrapped as the official SDK does it.
fn part(part: Part) -> Value {
    let file = |name: &str, content: String| {
        let file = with(json!({ name: content }), "name", part.filename.as_ref());
        json!({ "kind": "file", "file": with(file, "mimeType", part.media_type.as_ref()) })
    };
    let mut metadata: Option<Metadata> = part.metadata;
    let value = match part.content {
        Content::Text(text) => json!({ "kind": "text", "text": text }),
        Content::Raw(base64) => file("bytes", base64),
        Content::Url(url) => file("uri", url),
        Content::Data(data @ Value::Object(_)) => json!({ "kind": "data", "data": data }),
        Content::Data(data) => {
            metadata.get_or_insert_with(Map::new).insert("data_part_compat".to_owned(), Value::Bool(true));
            json!({ "kind": "data", "data": { "value": data } })
        }
    };
    with(value, "metadata", metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_say_their_kind_and_whether_they_are_the_last() {
        let update = |state: &str| {
            let status = json!({"state": state, "timestamp": "2026-11-22T20:00:00.000Z"});
            json!({"statusUpdate": {"taskId": "t", "contextId": "c", "status": status}}).to_string()
        };
        for (state, old, is_final) in [
            ("TASK_STATE_WORKING", "working", false),
            ("TASK_STATE_AUTH_REQUIRED", "auth-required", false),
            ("TASK_STATE_INPUT_REQUIRED", "input-required", true),
            ("TASK_STATE_COMPLETED", "completed", true),
        ] {
            let (bytes, last) = event(update(state).as_bytes()).unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            let expected = json!({
                "kind": "status-update", "taskId": "t", "contextId": "c", "final": is_final,
                "status": {"state": old, "timestamp": "2026-11-22T20:00:00.000Z"},
            });
            assert_eq!((value, last), (expected, is_final));
        }
        assert!(event(b"{}").is_err());
    }

    #[test]
    fn parts_are_told_in_the_older_words() {
        for (now, old) in [
            (
                json!({"text": "a", "metadata": {"x": 1}}),
                json!({"kind": "text", "text": "a", "metadata": {"x": 1}}),
            ),
            (
                json!({"raw": "aGk=", "filename": "f", "mediaType": "m"}),
                json!({"kind": "file", "file": {"bytes": "aGk=", "name": "f", "mimeType": "m"}}),
            ),
            (json!({"url": "x:"}), json!({"kind": "file", "file": {"uri": "x:"}})),
            (json!({"data": {"a": 1}}), json!({"kind": "data", "data": {"a": 1}})),
            (
                json!({"data": [1]}),
                json!({"kind": "data", "data": {"value": [1]}, "metadata": {"data_part_compat": true}}),
            ),
        ] {
            assert_eq!(part(serde_json::from_value(now).unwrap()), old);
        }
    }
}
