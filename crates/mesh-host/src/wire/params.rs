//! The parameters of each operation (section 4.2 and 3.1), checked.

use crate::push::PushConfig;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_core::model::{Message, Role, TaskState, unset_if_empty};
use mesh_core::{A2aError, ContextId, Seq, TaskId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Longest id that a client may choose.
const LONGEST_ID: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendMessageParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    pub(crate) message: Message,
    #[serde(default)]
    pub(crate) configuration: Option<Configuration>,
    /// It came as 0.3.
    #[serde(skip)]
    pub(crate) old: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration {
    #[serde(default)]
    pub(crate) history_length: Option<i64>,
    #[serde(default)]
    pub(crate) return_immediately: Option<bool>,
    #[serde(default)]
    pub(crate) task_push_notification_config: Option<PushConfig>,
}

/// What names a push notification configuration, or all of a task's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    pub(crate) task_id: TaskId,
    #[serde(default)]
    pub(crate) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    pub(crate) id: TaskId,
    #[serde(default)]
    pub(crate) history_length: Option<i64>,
}

/// The parameters of SubscribeToTask.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscribeParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    pub(crate) id: TaskId,
    /// The last event that the client has (our extension).
    #[serde(default)]
    pub(crate) after_event: Option<EventNumber>,
}

/// Which card is asked for: there is one for each tenant that may see it.
#[derive(Default, Deserialize)]
pub(crate) struct CardParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
}

/// The number of an event: a JSON number, or its digits as text, as ProtoJSON writes 64 bits.
#[derive(Deserialize)]
#[serde(try_from = "Digits")]
pub(crate) struct EventNumber(Seq);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the number of an event, 0 for all of them")]
enum Digits {
    Number(Seq),
    Text(String),
}

impl TryFrom<Digits> for EventNumber {
    type Error = &'static str;

    fn try_from(digits: Digits) -> Result<Self, Self::Error> {
        match digits {
            Digits::Number(number) => Some(number),
            Digits::Text(text) => parse_event_number(&text),
        }
        .map(Self)
        .ok_or("expected the number of an event, 0 for all of them")
    }
}

impl From<EventNumber> for Seq {
    fn from(number: EventNumber) -> Self {
        number.0
    }
}

/// The number of an event from decimal digits.
pub(crate) fn parse_event_number(text: &str) -> Option<Seq> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    #[serde(default, deserialize_with = "unset_if_empty")]
    pub(crate) context_id: Option<ContextId>,
    #[serde(default, deserialize_with = "state")]
    pub(crate) status: Option<TaskState>,
    #[serde(default)]
    pub(crate) page_size: Option<i64>,
    #[serde(default)]
    pub(crate) page_token: Option<String>,
    #[serde(default)]
    pub(crate) history_length: Option<i64>,
    #[serde(default)]
    pub(crate) status_timestamp_after: Option<Timestamp>,
    #[serde(default)]
    pub(crate) include_artifacts: Option<bool>,
}

/// The parameters of our `GetContext`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContextParams {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    pub(crate) context_id: ContextId,
    #[serde(default)]
    pub(crate) page_size: Option<i64>,
    #[serde(default)]
    pub(crate) page_token: Option<String>,
}

/// A page token of entries: the key behind which the page begins. Any replica can read it.
pub(crate) fn encode_key(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Reads a page token of entries.
pub(crate) fn decode_key(token: &str) -> Result<String, A2aError> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
    key.filter(|key| key.len() <= LONGEST_ID).ok_or_else(|| {
        A2aError::invalid("params.pageToken", "is not a token of this host; start again without it")
    })
}

/// `TASK_STATE_UNSPECIFIED` and the empty string mean any state.
fn state<'de, D: Deserializer<'de>>(d: D) -> Result<Option<TaskState>, D::Error> {
    let name = Option::<String>::deserialize(d)?;
    parse_state(name.as_deref().unwrap_or_default()).map_err(serde::de::Error::custom)
}

/// The same from text.
pub(crate) fn parse_state(name: &str) -> Result<Option<TaskState>, String> {
    match name {
        "" | "TASK_STATE_UNSPECIFIED" => Ok(None),
        name => TaskState::ALL
            .into_iter()
            .find(|state| state.proto_name() == name)
            .map(Some)
            .ok_or_else(|| format!("`{name}` is no task state")),
    }
}

/// Decodes parameters; the error says where they are wrong.
pub(crate) fn decode<T: DeserializeOwned>(params: &str) -> Result<T, A2aError> {
    serde_json::from_str(params).map_err(|error| A2aError::invalid("params", error))
}

/// Only JSON-RPC has its fields under `params`. Elsewhere they are those of `whole`, the body say.
pub(crate) fn without_params(mut error: A2aError, whole: &str) -> A2aError {
    if let Some(field) = error.message.strip_prefix("params.") {
        error.message = field.to_owned();
    } else if let Some(why) = error.message.strip_prefix("params: ") {
        error.message = format!("{whole}: {why}");
    }
    error
}

/// A history length: `None` is unset; negative ones are refused.
pub(crate) fn history_length(length: Option<i64>) -> Result<Option<usize>, A2aError> {
    length
        .map(|length| {
            usize::try_from(length)
                .map_err(|_| A2aError::invalid("params.historyLength", "must not be negative"))
        })
        .transpose()
}

/// What a client's message must have (section 4.1.4).
pub(crate) fn check_message(message: &Message) -> Result<(), A2aError> {
    let id = |field: &str, text: &str| match text.len() {
        0 => Err(A2aError::invalid(field, "must not be empty")),
        1..=LONGEST_ID => Ok(()),
        _ => Err(A2aError::invalid(field, format_args!("is longer than {LONGEST_ID} bytes"))),
    };
    id("params.message.messageId", message.message_id.as_str())?;
    if let Some(context) = &message.context_id {
        id("params.message.contextId", context.as_str())?;
    }
    if let Some(task) = &message.task_id {
        id("params.message.taskId", task.as_str())?;
    }
    if message.role != Role::User {
        return Err(A2aError::invalid("params.message.role", "a client's message has ROLE_USER"));
    }
    if message.parts.is_empty() {
        return Err(A2aError::invalid("params.message.parts", "must have at least one part"));
    }
    Ok(())
}
