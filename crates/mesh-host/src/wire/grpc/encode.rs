//! From our model to the protobuf messages.

use crate::card::EVENT_LOG_EXTENSION;
use crate::push::PushConfig;
use crate::wire::operate::Page;
use a2a_pb::proto as pb;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mesh_core::event::StreamResponse;
use mesh_core::model::{Artifact, Content, Message, Metadata, Part, Role, Task, TaskState, TaskStatus};
use mesh_core::{Seq, Timestamp};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

pub(super) fn task(task: Task) -> pb::Task {
    pb::Task {
        id: task.id.to_string(),
        context_id: task.context_id.to_string(),
        status: Some(status(task.status)),
        artifacts: task.artifacts.into_iter().map(artifact).collect(),
        history: task.history.into_iter().map(message).collect(),
        metadata: task.metadata.map(object),
    }
}

pub(super) fn push_config(config: PushConfig) -> pb::TaskPushNotificationConfig {
    pb::TaskPushNotificationConfig {
        tenant: config.tenant.unwrap_or_default(),
        id: config.id,
        task_id: config.task_id,
        url: config.url,
        token: config.token,
        authentication: config.authentication.map(|authentication| pb::AuthenticationInfo {
            scheme: authentication.scheme,
            credentials: authentication.credentials,
        }),
    }
}

/// A page of tasks that are JSON.
pub(super) fn page(page: &Page) -> Result<pb::ListTasksResponse, serde_json::Error> {
    let tasks = page.tasks.iter().map(|whole| serde_json::from_str(whole.get()).map(task));
    Ok(pb::ListTasksResponse {
        tasks: tasks.collect::<Result<_, _>>()?,
        next_page_token: page.next_page_token.clone(),
        page_size: i32::try_from(page.page_size).unwrap_or(i32::MAX),
        total_size: i32::try_from(page.total_size).unwrap_or(i32::MAX),
    })
}

/// One event as the log has it. Its number is put into its metadata under the URI of our extension: protobuf has no other
/// place for it.
pub(super) fn event(public: &[u8], number: Option<Seq>) -> Result<pb::StreamResponse, serde_json::Error> {
    use pb::stream_response::Payload;
    let mut payload = match serde_json::from_slice::<StreamResponse>(public)? {
        StreamResponse::Task(whole) => Payload::Task(task(*whole)),
        StreamResponse::Message(whole) => Payload::Message(message(*whole)),
        StreamResponse::StatusUpdate(update) => Payload::StatusUpdate(pb::TaskStatusUpdateEvent {
            task_id: update.task_id.to_string(),
            context_id: update.context_id.to_string(),
            status: Some(status(update.status)),
            metadata: update.metadata.map(object),
        }),
        StreamResponse::ArtifactUpdate(update) => Payload::ArtifactUpdate(pb::TaskArtifactUpdateEvent {
            task_id: update.task_id.to_string(),
            context_id: update.context_id.to_string(),
            artifact: Some(artifact(update.artifact)),
            append: update.append.unwrap_or(false),
            last_chunk: update.last_chunk.unwrap_or(false),
            metadata: None,
        }),
    };
    if let Some(number) = number {
        let metadata = match &mut payload {
            Payload::Task(task) => &mut task.metadata,
            Payload::Message(message) => &mut message.metadata,
            Payload::StatusUpdate(update) => &mut update.metadata,
            Payload::ArtifactUpdate(update) => &mut update.metadata,
        };
        let number = value(serde_json::json!({ "event": number }));
        metadata.get_or_insert_default().fields.insert(EVENT_LOG_EXTENSION.to_owned(), number);
    }
    Ok(pb::StreamResponse { payload: Some(payload) })
}

fn status(status: TaskStatus) -> pb::TaskStatus {
    pb::TaskStatus {
        state: state(status.state).into(),
        message: status.message.map(message),
        timestamp: status.timestamp.map(timestamp),
    }
}

fn state(state: TaskState) -> pb::TaskState {
    match state {
        TaskState::Submitted => pb::TaskState::Submitted,
        TaskState::Working => pb::TaskState::Working,
        TaskState::InputRequired => pb::TaskState::InputRequired,
        TaskState::AuthRequired => pb::TaskState::AuthRequired,
        TaskState::Completed => pb::TaskState::Completed,
        TaskState::Failed => pb::TaskState::Failed,
        TaskState::Canceled => pb::TaskState::Canceled,
        TaskState::Rejected => pb::TaskState::Rejected,
    }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.millis().rem_euclid(1000) * 1_000_000;
    prost_types::Timestamp {
        seconds: time.millis().div_euclid(1000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

pub(super) fn message(message: Message) -> pb::Message {
    let role = match message.role {
        Role::User => pb::Role::User,
        Role::Agent => pb::Role::Agent,
    };
    pb::Message {
        message_id: message.message_id.to_string(),
        context_id: message.context_id.map(|id| id.to_string()).unwrap_or_default(),
        task_id: message.task_id.map(|id| id.to_string()).unwrap_or_default(),
        role: role.into(),
        parts: message.parts.into_iter().map(part).collect(),
        metadata: message.metadata.map(object),
        extensions: message.extensions,
        reference_task_ids: message.reference_task_ids.iter().map(ToString::to_string).collect(),
    }
}

fn artifact(artifact: Artifact) -> pb::Artifact {
    pb::Artifact {
        artifact_id: artifact.artifact_id.to_string(),
        name: artifact.name.unwrap_or_default(),
        description: artifact.description.unwrap_or_default(),
        parts: artifact.parts.into_iter().map(part).collect(),
        metadata: artifact.metadata.map(object),
        extensions: artifact.extensions,
    }
}

fn part(part: Part) -> pb::Part {
    use pb::part::Content as Pb;
    let content = match part.content {
        Content::Text(text) => Pb::Text(text),
        Content::Raw(base64) => Pb::Raw(bytes(&base64)),
        Content::Url(url) => Pb::Url(url),
        Content::Data(data) => Pb::Data(value(data)),
    };
    pb::Part {
        content: Some(content),
        metadata: part.metadata.map(object),
        filename: part.filename.unwrap_or_default(),
        media_type: part.media_type.unwrap_or_default(),
    }
}

/// The bytes behind base64 in any of the forms that the model takes. It was checked when it came in.
fn bytes(base64: &str) -> Vec<u8> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if base64.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(base64).unwrap_or_default()
}

fn object(fields: Metadata) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, field)| (name, value(field))).collect() }
}

/// Numbers of protobuf's `Value` are doubles: integers beyond 2^53 lose digits on this binding, as the protocol has it.
fn value(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(is) => Kind::BoolValue(is),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(self::value).collect() })
        }
        Json::Object(fields) => Kind::StructValue(object(fields)),
    };
    Value { kind: Some(kind) }
}
