//! Input of strangers: it never panics, and what is accepted can be stored and read again.

use mesh_core::event::{ArtifactChange, StatusChange, StreamResponse};
use mesh_core::lifecycle::{NewTask, create};
use mesh_core::model::TaskState;
use mesh_core::model::{Artifact, Content, Message, Part, Role, Task, TaskStatus};
use mesh_core::{
    AgentName, ArtifactId, ContextId, MessageId, Principal, TaskEvent, TaskId, Timestamp, TraceContext,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("TASK_STATE_WORKING")),
        Just(json!("ROLE_USER")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key(), inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Often a field that means something.
fn key() -> impl Strategy<Value = String> {
    const FIELDS: [&str; 16] = [
        "messageId",
        "role",
        "parts",
        "text",
        "raw",
        "url",
        "data",
        "metadata",
        "extensions",
        "contextId",
        "taskId",
        "referenceTaskIds",
        "filename",
        "mediaType",
        "artifacts",
        "status",
    ];
    prop_oneof![3 => proptest::sample::select(FIELDS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn metadata() -> impl Strategy<Value = Option<Map<String, Value>>> {
    option::of(btree_map(any::<String>(), json_value(), 0..3).prop_map(|m| m.into_iter().collect()))
}

fn part() -> impl Strategy<Value = Part> {
    let raw = vec(any::<u8>(), 0..20).prop_map(|bytes| {
        use base64::Engine as _;
        Content::Raw(base64::engine::general_purpose::STANDARD.encode(bytes))
    });
    let content = prop_oneof![
        any::<String>().prop_map(Content::Text),
        raw,
        any::<String>().prop_map(Content::Url),
        json_value().prop_map(Content::Data),
    ];
    (content, option::of(any::<String>()), option::of(any::<String>()), metadata()).prop_map(
        |(content, filename, media_type, metadata)| Part { content, filename, media_type, metadata },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop_oneof![Just(Role::User), Just(Role::Agent)];
    (any::<String>(), role, vec(part(), 0..4), metadata(), vec(any::<String>(), 0..3)).prop_map(
        |(id, role, parts, metadata, extensions)| Message {
            message_id: MessageId::new(id),
            metadata,
            extensions,
            ..Message::new(role, parts)
        },
    )
}

fn artifact() -> impl Strategy<Value = Artifact> {
    (any::<String>(), option::of(any::<String>()), vec(part(), 0..4), metadata()).prop_map(
        |(id, name, parts, metadata)| Artifact {
            artifact_id: ArtifactId::new(id),
            name,
            description: None,
            parts,
            metadata,
            extensions: Vec::new(),
        },
    )
}

fn event() -> impl Strategy<Value = TaskEvent> {
    let state = proptest::sample::select(TaskState::ALL.to_vec());
    let time = (0..4_000_000_000_000i64).prop_map(Timestamp);
    let status = (state, option::of(message()), option::of(time), metadata(), option::of(message()))
        .prop_map(|(state, message, timestamp, metadata, received)| {
            let status = TaskStatus { state, message, timestamp };
            TaskEvent::Status(Box::new(StatusChange { status, metadata, received }))
        });
    let chunk = (artifact(), any::<bool>(), any::<bool>()).prop_map(|(artifact, append, last_chunk)| {
        TaskEvent::Artifact(Box::new(ArtifactChange { artifact, append, last_chunk }))
    });
    prop_oneof![status, chunk, message().prop_map(created)]
}

fn created(message: Message) -> TaskEvent {
    let new = NewTask {
        id: TaskId::new("t"),
        context_id: ContextId::new("c"),
        owner: Principal::local(),
        agent: AgentName::new("a"),
        message,
        trace: TraceContext::root(),
    };
    create(&new, Timestamp(0)).1
}

fn stored_and_read(event: &TaskEvent) -> Result<TaskEvent, serde_json::Error> {
    let public = event.encode(&TaskId::new("t"), &ContextId::new("c"));
    TaskEvent::decode(&public, event.encode_private().as_deref())
}

/// `[[[…]]]`
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

proptest! {
    #[test]
    fn bytes_never_panic_a_decoder(bytes in vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<Message>(&bytes);
        let _ = serde_json::from_slice::<Task>(&bytes);
        let _ = serde_json::from_slice::<StreamResponse>(&bytes);
        let _ = TaskEvent::decode(&bytes, Some(&bytes));
        let _ = TraceContext::parse(&String::from_utf8_lossy(&bytes));
        let _ = Timestamp::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn json_never_panics_a_decoder(value in json_value()) {
        let text = serde_json::to_vec(&value).unwrap();
        let _ = serde_json::from_slice::<Message>(&text);
        let _ = serde_json::from_slice::<StreamResponse>(&text);
    }

    #[test]
    fn a_message_with_one_strange_field_is_taken_or_refused(
        message in message(), field in key(), value in json_value()
    ) {
        let mut object = serde_json::to_value(&message).unwrap();
        object[&field] = value;
        if let Ok(taken) = serde_json::from_slice::<Message>(&serde_json::to_vec(&object).unwrap()) {
            let again = serde_json::to_vec(&taken).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Message>(&again).unwrap(), taken);
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written(event in event()) {
        prop_assert_eq!(stored_and_read(&event).unwrap(), event);
    }

    #[test]
    fn raw_is_base64_of_either_alphabet_with_or_without_padding(bytes in vec(any::<u8>(), 0..40)) {
        use base64::Engine as _;
        use base64::engine::general_purpose as alphabet;
        for engine in [&alphabet::STANDARD, &alphabet::STANDARD_NO_PAD, &alphabet::URL_SAFE, &alphabet::URL_SAFE_NO_PAD] {
            let part = json!({"raw": engine.encode(&bytes)});
            let read: Part = serde_json::from_value(part.clone()).unwrap();
            prop_assert_eq!(serde_json::to_value(read).unwrap(), part, "what came in base64 stays as it is");
        }
    }
}

#[test]
fn a_message_of_any_depth_that_is_accepted_can_be_stored_and_read_again() {
    for depth in 1..=140 {
        for field in ["data", "metadata"] {
            let value = if field == "data" { nested(depth) } else { format!(r#"{{"a":{}}}"#, nested(depth)) };
            let in_part =
                format!(r#"{{"messageId":"m","role":"ROLE_USER","parts":[{{"{field}":{value}}}]}}"#);
            let in_message = format!(
                r#"{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"a"}}],"metadata":{{"a":{}}}}}"#,
                nested(depth)
            );
            for text in [in_part, in_message] {
                let Ok(message) = serde_json::from_str::<Message>(&text) else { continue };
                let event = created(message.clone());
                assert_eq!(stored_and_read(&event).expect("it can be read"), event, "{field} {depth}");
                let status =
                    TaskStatus { state: TaskState::Working, message: Some(message.clone()), timestamp: None };
                let change = StatusChange { status, metadata: None, received: Some(message) };
                let event = TaskEvent::Status(Box::new(change));
                assert_eq!(stored_and_read(&event).expect("it can be read"), event, "{field} {depth}");
            }
        }
        let artifact = format!(r#"{{"artifactId":"a","parts":[{{"data":{}}}]}}"#, nested(depth));
        let Ok(artifact) = serde_json::from_str::<Artifact>(&artifact) else { continue };
        let event =
            TaskEvent::Artifact(Box::new(ArtifactChange { artifact, append: false, last_chunk: true }));
        assert_eq!(stored_and_read(&event).expect("it can be read"), event, "artifact {depth}");
    }
}
