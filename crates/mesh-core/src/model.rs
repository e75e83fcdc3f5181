//! The A2A 1.0 data model (section 4.1) with its ProtoJSON encoding.
//!
//! Decoding is strict where the specification says REQUIRED, and lenient where ProtoJSON says so: unknown fields
//! are ignored, `null` means absent. Metadata keeps its order and its numbers.

use crate::clock::Timestamp;
use crate::ids::{ArtifactId, ContextId, MessageId, TaskId};
use base64::Engine as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Borrow;
use std::fmt;

/// A JSON object whose content belongs to somebody else.
pub type Metadata = serde_json::Map<String, Value>;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The client.
    #[serde(rename = "ROLE_USER")]
    User,
    /// The agent.
    #[serde(rename = "ROLE_AGENT")]
    Agent,
}

/// What a part holds: exactly one of the four.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// Bytes, kept in the base64 that they came in.
    Raw(String),
    /// Where the bytes are.
    Url(String),
    /// Any JSON value.
    Data(Value),
}

/// A piece of a message or artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it holds.
    pub content: Content,
    /// Name of the file it came from.
    pub filename: Option<String>,
    /// Its media type.
    pub media_type: Option<String>,
    /// Whatever the sender attached.
    pub metadata: Option<Metadata>,
}

impl Part {
    /// A part of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Content::Text(text.into()), filename: None, media_type: None, metadata: None }
    }

    /// Its text, if that is what it holds.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartFields<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    data: Option<std::borrow::Cow<'a, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filename: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<std::borrow::Cow<'a, Metadata>>,
}

/// How deeply a stranger's JSON may be nested. Decoders of JSON stop at 128 levels, those of protobuf at 100, where an object
/// within an object counts three; and every envelope adds some. A value that was taken in one envelope must still be readable
/// in any other, above all in the log.
pub const MAX_DEPTH: usize = 30;

fn check_depth<'v, E: serde::de::Error>(values: impl IntoIterator<Item = &'v Value>) -> Result<(), E> {
    fn fits(value: &Value, levels: usize) -> bool {
        let Some(below) = levels.checked_sub(1) else { return false };
        match value {
            Value::Array(items) => items.iter().all(|item| fits(item, below)),
            Value::Object(fields) => fields.values().all(|field| fits(field, below)),
            _ => true,
        }
    }
    if values.into_iter().all(|value| fits(value, MAX_DEPTH)) {
        return Ok(());
    }
    Err(E::custom(format_args!("JSON nested deeper than {MAX_DEPTH} levels")))
}

fn bounded_metadata<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Metadata>, D::Error> {
    let metadata = Option::<Metadata>::deserialize(d)?;
    check_depth(metadata.iter().flat_map(Metadata::values))?;
    Ok(metadata)
}

/// `"data": null` is a part that holds null, not a part without data.
fn present<'de, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<std::borrow::Cow<'a, Value>>, D::Error> {
    Value::deserialize(d).map(|value| Some(std::borrow::Cow::Owned(value)))
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::borrow::Cow::Borrowed;
        let mut fields = PartFields {
            text: None,
            raw: None,
            url: None,
            data: None,
            filename: self.filename.as_deref().map(Borrowed),
            media_type: self.media_type.as_deref().map(Borrowed),
            metadata: self.metadata.as_ref().map(Borrowed),
        };
        match &self.content {
            Content::Text(text) => fields.text = Some(Borrowed(text)),
            Content::Raw(raw) => fields.raw = Some(Borrowed(raw)),
            Content::Url(url) => fields.url = Some(Borrowed(url)),
            Content::Data(data) => fields.data = Some(Borrowed(data)),
        }
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = PartFields::deserialize(deserializer)?;
        check_depth(fields.data.as_deref())?;
        check_depth(fields.metadata.iter().flat_map(|metadata| metadata.values()))?;
        let content = match (fields.text, fields.raw, fields.url, fields.data) {
            (Some(text), None, None, None) => Content::Text(text.into_owned()),
            (None, Some(raw), None, None) => {
                check_base64(&raw).map_err(D::Error::custom)?;
                Content::Raw(raw.into_owned())
            }
            (None, None, Some(url), None) => Content::Url(url.into_owned()),
            (None, None, None, Some(data)) => Content::Data(data.into_owned()),
            _ => return Err(D::Error::custom("a part holds exactly one of text, raw, url and data")),
        };
        Ok(Self {
            content,
            filename: fields.filename.map(Into::into),
            media_type: fields.media_type.map(Into::into),
            metadata: fields.metadata.map(std::borrow::Cow::into_owned),
        })
    }
}

/// ProtoJSON takes the standard and the URL-safe alphabet, with or without padding.
fn check_base64(text: &str) -> Result<(), &'static str> {
    use base64::alphabet::{STANDARD, URL_SAFE};
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config)
        .decode(text)
        .map(|_| ())
        .map_err(|_| "raw is not base64: send the bytes in base64")
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Made by the sender; sent again, it means the same message.
    pub message_id: MessageId,
    /// The context it belongs to.
    #[serde(default, deserialize_with = "unset_if_empty", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ContextId>,
    /// The task it belongs to.
    #[serde(default, deserialize_with = "unset_if_empty", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Who wrote it.
    pub role: Role,
    /// What it says; at least one part.
    pub parts: Vec<Part>,
    /// Whatever the sender attached.
    #[serde(default, deserialize_with = "bounded_metadata", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// URIs of the extensions that contributed to it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Tasks it refers to.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub reference_task_ids: Vec<TaskId>,
}

impl Message {
    /// A message of the agent.
    pub fn agent(parts: Vec<Part>) -> Self {
        Self::new(Role::Agent, parts)
    }

    /// A message with a new id.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self {
            message_id: MessageId::generate(),
            context_id: None,
            task_id: None,
            role,
            parts,
            metadata: None,
            extensions: Vec::new(),
            reference_task_ids: Vec::new(),
        }
    }

    /// All its text parts, joined.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }
}

/// ProtoJSON does not tell the empty string from a field that is not set.
pub fn unset_if_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Borrow<str>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<T>::deserialize(d)?.filter(|text| !text.borrow().is_empty()))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

/// Something that a task produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Unique within the task.
    pub artifact_id: ArtifactId,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it holds.
    pub parts: Vec<Part>,
    /// Whatever the agent attached.
    #[serde(default, deserialize_with = "bounded_metadata", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// URIs of the extensions that contributed to it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}

/// Where a task is in its life (section 4.1.3). `UNSPECIFIED` is not a state that a task can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// Accepted, and waiting for a worker.
    #[serde(rename = "TASK_STATE_SUBMITTED")]
    Submitted,
    /// A worker is at it.
    #[serde(rename = "TASK_STATE_WORKING")]
    Working,
    /// Interrupted: waits for a message of the client.
    #[serde(rename = "TASK_STATE_INPUT_REQUIRED")]
    InputRequired,
    /// Interrupted: waits for the client to be authorized somewhere.
    #[serde(rename = "TASK_STATE_AUTH_REQUIRED")]
    AuthRequired,
    /// Ended well.
    #[serde(rename = "TASK_STATE_COMPLETED")]
    Completed,
    /// Ended with an error.
    #[serde(rename = "TASK_STATE_FAILED")]
    Failed,
    /// Ended by the client.
    #[serde(rename = "TASK_STATE_CANCELED")]
    Canceled,
    /// Not taken on by the agent.
    #[serde(rename = "TASK_STATE_REJECTED")]
    Rejected,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::AuthRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
    ];

    /// Final: nothing can happen to the task any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Waits for the client.
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }

    /// The name in the specification's protobuf and JSON.
    pub fn proto_name(self) -> &'static str {
        match self {
            Self::Submitted => "TASK_STATE_SUBMITTED",
            Self::Working => "TASK_STATE_WORKING",
            Self::InputRequired => "TASK_STATE_INPUT_REQUIRED",
            Self::AuthRequired => "TASK_STATE_AUTH_REQUIRED",
            Self::Completed => "TASK_STATE_COMPLETED",
            Self::Failed => "TASK_STATE_FAILED",
            Self::Canceled => "TASK_STATE_CANCELED",
            Self::Rejected => "TASK_STATE_REJECTED",
        }
    }

    /// The name that the worker protocol, metrics and people use: `input-required`.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }

    /// Reads either name; `None` for anything else, `UNSPECIFIED` included.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.proto_name() == name || state.short_name() == name)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

/// The state with its message and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Where the task is.
    pub state: TaskState,
    /// What the agent says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// A task as a client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Made by the server.
    pub id: TaskId,
    /// What it belongs to.
    pub context_id: ContextId,
    /// Where it is.
    pub status: TaskStatus,
    /// What it has produced.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// The messages so far, oldest first; the message of the current status is not among them.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// Whatever the agent attached.
    #[serde(default, deserialize_with = "bounded_metadata", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl Task {
    /// Cuts the history to the `length` newest messages; `None` leaves it whole (section 3.2.4).
    pub fn limit_history(&mut self, length: Option<usize>) {
        if let Some(length) = length {
            let extra = self.history.len().saturating_sub(length);
            self.history.drain(..extra);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_holds_exactly_one_thing() {
        for good in
            [json!({"text": "a"}), json!({"raw": "aGk="}), json!({"url": "x:"}), json!({"data": null})]
        {
            let part: Part = serde_json::from_value(good.clone()).unwrap();
            assert_eq!(serde_json::to_value(part).unwrap(), good);
        }
        for bad in [json!({}), json!({"text": "a", "url": "x:"}), json!({"raw": "?"}), json!({"text": 1})] {
            assert!(serde_json::from_value::<Part>(bad).is_err());
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_nulls_are_absent() {
        let message: Message = serde_json::from_value(json!({
            "messageId": "m", "role": "ROLE_USER", "parts": [{"text": "a"}], "extensions": null, "kind": "message"
        }))
        .unwrap();
        assert_eq!(message.text(), "a");
    }

    #[test]
    fn every_state_reads_back_from_both_its_names() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(state.proto_name()), Some(state));
            assert_eq!(TaskState::parse(state.short_name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.proto_name());
        }
        assert_eq!(TaskState::parse("TASK_STATE_UNSPECIFIED"), None);
    }
}
