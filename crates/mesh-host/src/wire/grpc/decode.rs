//! From the protobuf messages to the parameters of operations, with the checks that JSON gets from its decoder.

use crate::push::{Authentication, PushConfig};
use crate::wire::params::{Configuration, ListParams, PushParams, SendMessageParams, TaskParams};
use a2a_pb::proto as pb;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_core::model::{Content, MAX_DEPTH, Message, Metadata, Part, Role, TaskState};
use mesh_core::{A2aError, ContextId, MessageId, TaskId, Timestamp};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// The largest whole number that a double counts up to without leaving one out.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn send(request: pb::SendMessageRequest) -> Result<SendMessageParams, A2aError> {
    let message = request.message.ok_or_else(|| A2aError::invalid("message", "is missing"))?;
    Ok(SendMessageParams {
        tenant: some(request.tenant),
        message: self::message(message)?,
        configuration: request.configuration.map(|configuration| Configuration {
            history_length: configuration.history_length.map(i64::from),
            return_immediately: Some(configuration.return_immediately),
            task_push_notification_config: configuration.task_push_notification_config.map(push_config),
        }),
        old: false,
    })
}

pub(super) fn push_config(config: pb::TaskPushNotificationConfig) -> PushConfig {
    PushConfig {
        tenant: some(config.tenant),
        id: config.id,
        task_id: config.task_id,
        url: config.url,
        token: config.token,
        authentication: config.authentication.map(|authentication| Authentication {
            scheme: authentication.scheme,
            credentials: authentication.credentials,
        }),
    }
}

pub(super) fn push(tenant: String, task: String, id: String) -> PushParams {
    PushParams { tenant: some(tenant), task_id: TaskId::from(task), id }
}

pub(super) fn get(request: pb::GetTaskRequest) -> TaskParams {
    TaskParams {
        tenant: some(request.tenant),
        id: TaskId::from(request.id),
        history_length: request.history_length.map(i64::from),
    }
}

pub(super) fn task(tenant: String, id: String) -> TaskParams {
    TaskParams { tenant: some(tenant), id: TaskId::from(id), history_length: None }
}

pub(super) fn list(request: pb::ListTasksRequest) -> Result<ListParams, A2aError> {
    Ok(ListParams {
        tenant: some(request.tenant),
        context_id: some(request.context_id).map(ContextId::from),
        status: state(request.status)?,
        page_size: request.page_size.map(i64::from),
        page_token: some(request.page_token),
        history_length: request.history_length.map(i64::from),
        status_timestamp_after: request.status_timestamp_after.map(timestamp).transpose()?,
        include_artifacts: request.include_artifacts,
    })
}

/// An absent string is an empty one.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn state(number: i32) -> Result<Option<TaskState>, A2aError> {
    let state = pb::TaskState::try_from(number)
        .map_err(|_| A2aError::invalid("status", format_args!("{number} is no task state")))?;
    Ok(TaskState::parse(state.as_str_name()))
}

fn timestamp(time: prost_types::Timestamp) -> Result<Timestamp, A2aError> {
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&time.seconds);
    if !in_range || !(0..1_000_000_000).contains(&time.nanos) {
        return Err(A2aError::invalid("statusTimestampAfter", "is out of range"));
    }
    Ok(Timestamp(time.seconds * 1000 + i64::from(time.nanos / 1_000_000)))
}

fn message(message: pb::Message) -> Result<Message, A2aError> {
    Ok(Message {
        message_id: MessageId::from(message.message_id),
        context_id: some(message.context_id).map(ContextId::from),
        task_id: some(message.task_id).map(TaskId::from),
        role: match pb::Role::try_from(message.role) {
            Ok(pb::Role::User) => Role::User,
            Ok(pb::Role::Agent) => Role::Agent,
            _ => return Err(A2aError::invalid("message.role", "a client's message has ROLE_USER")),
        },
        parts: message.parts.into_iter().map(part).collect::<Result<_, _>>()?,
        metadata: message.metadata.map(|fields| object(fields, "message.metadata", MAX_DEPTH)).transpose()?,
        extensions: message.extensions,
        reference_task_ids: message.reference_task_ids.into_iter().map(TaskId::from).collect(),
    })
}

fn part(part: pb::Part) -> Result<Part, A2aError> {
    use pb::part::Content as Pb;
    let content = match part.content {
        Some(Pb::Text(text)) => Content::Text(text),
        Some(Pb::Raw(bytes)) => Content::Raw(STANDARD.encode(bytes)),
        Some(Pb::Url(url)) => Content::Url(url),
        Some(Pb::Data(data)) => Content::Data(value(data, "message.parts.data", MAX_DEPTH)?),
        None => {
            let why = "a part holds exactly one of text, raw, url and data";
            return Err(A2aError::invalid("message.parts", why));
        }
    };
    Ok(Part {
        content,
        filename: some(part.filename),
        media_type: some(part.media_type),
        metadata: part
            .metadata
            .map(|fields| object(fields, "message.parts.metadata", MAX_DEPTH))
            .transpose()?,
    })
}

/// The fields may each be `levels` deep.
fn object(object: Struct, at: &str, levels: usize) -> Result<Metadata, A2aError> {
    object.fields.into_iter().map(|(name, field)| Ok((name, value(field, at, levels)?))).collect()
}

fn value(value: Value, at: &str, levels: usize) -> Result<serde_json::Value, A2aError> {
    use serde_json::Value as Json;
    let Some(below) = levels.checked_sub(1) else {
        return Err(A2aError::invalid(at, format_args!("JSON nested deeper than {MAX_DEPTH} levels")));
    };
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(is)) => Json::Bool(is),
        Some(Kind::NumberValue(number)) => Json::Number(self::number(number, at)?),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().map(|item| self::value(item, at, below));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(fields)) => Json::Object(object(fields, at, below)?),
    })
}

/// Whole numbers are written without a fraction, as ProtoJSON does.
fn number(number: f64, at: &str) -> Result<serde_json::Number, A2aError> {
    if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
        return Ok(serde_json::Number::from(number as i64));
    }
    serde_json::Number::from_f64(number).ok_or_else(|| A2aError::invalid(at, "a number is not finite"))
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use prost::Message as _;
    use prost_types::ListValue;
    use serde_json::json;

    fn sent(message: pb::Message) -> pb::SendMessageRequest {
        pb::SendMessageRequest { message: Some(message), ..Default::default() }
    }

    fn with_data(data: Value) -> pb::Message {
        let part = pb::Part { content: Some(pb::part::Content::Data(data)), ..Default::default() };
        pb::Message { role: pb::Role::User.into(), parts: vec![part], ..Default::default() }
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let json = json!({
            "messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_USER",
            "parts": [
                {"text": "a", "filename": "f", "mediaType": "text/plain", "metadata": {"k": [1, -2.5, null]}},
                {"raw": "aGk="}, {"url": "x:"}, {"data": null}, {"data": {"a": {"b": [true, "x", {}, []]}}}
            ],
            "metadata": {"n": 9_007_199_254_740_992_u64}, "extensions": ["u:e"], "referenceTaskIds": ["r"]
        });
        let before: Message = serde_json::from_value(json).unwrap();
        let bytes = sent(encode::message(before.clone())).encode_to_vec();
        let after = send(pb::SendMessageRequest::decode(&*bytes).unwrap()).unwrap().message;
        assert_eq!(after, before);
        assert_eq!(serde_json::to_value(&after).unwrap(), serde_json::to_value(&before).unwrap());
    }

    #[test]
    fn what_json_would_refuse_is_refused() {
        let number = |number| Value { kind: Some(Kind::NumberValue(number)) };
        let message = |role: i32| pb::Message { role, ..Default::default() };
        for (request, field) in [
            (pb::SendMessageRequest::default(), "message: "),
            (sent(message(0)), "message.role: "),
            (sent(message(7)), "message.role: "),
            (sent(pb::Message { parts: vec![pb::Part::default()], ..message(1) }), "message.parts: "),
            (sent(with_data(number(f64::NAN))), "message.parts.data: "),
            (sent(with_data(number(f64::INFINITY))), "message.parts.data: "),
        ] {
            let error = send(request).map(|_| ()).unwrap_err();
            assert!(error.message.starts_with(field), "{error}");
        }
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, i32::MAX)] {
            let time = prost_types::Timestamp { seconds, nanos };
            assert!(
                list(pb::ListTasksRequest { status_timestamp_after: Some(time), ..Default::default() })
                    .is_err()
            );
        }
        assert!(list(pb::ListTasksRequest { status: 9, ..Default::default() }).is_err());
        assert_eq!(list(pb::ListTasksRequest::default()).unwrap().status, None);
    }

    /// The deepest data that is taken, in the deepest place where it is shown, still decodes with protobuf's limit of 100.
    #[test]
    fn what_is_taken_can_be_sent_out() {
        let object = |inner: serde_json::Value| json!({ "x": inner });
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| object(inner));
        let data = |levels| {
            json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [{
            "data": nested(levels), "metadata": {"x": nested(levels)} }], "metadata": {"x": nested(levels)}})
        };
        assert!(serde_json::from_value::<Message>(data(MAX_DEPTH + 1)).is_err());
        let task = json!({"id": "t", "contextId": "c", "history": [data(MAX_DEPTH)],
            "status": {"state": "TASK_STATE_WORKING", "message": data(MAX_DEPTH)}});
        let page = pb::ListTasksResponse {
            tasks: vec![encode::task(serde_json::from_value(task).unwrap())],
            ..Default::default()
        };
        assert_eq!(pb::ListTasksResponse::decode(&*page.encode_to_vec()), Ok(page));
    }

    #[test]
    fn data_that_json_could_not_read_back_is_refused() {
        let list = |inner| Value { kind: Some(Kind::ListValue(ListValue { values: vec![inner] })) };
        let nested = |levels: usize| (1..levels).fold(Value { kind: None }, |inner, _| list(inner));
        assert!(send(sent(with_data(nested(MAX_DEPTH)))).is_ok());
        assert!(send(sent(with_data(nested(MAX_DEPTH + 1)))).is_err());
    }
}
