//! Fuzz targets: JSON-RPC with its parameters, 0.3, and what resumes a stream.

use super::envelope;
use super::extensions::{self, Extensions, Offered};
use super::grpc;
use super::operate::{Method, Operation, last_event_id};
use super::v03;
use http::{HeaderMap, HeaderValue};
use mesh_core::event::TaskEvent;
use mesh_core::model::{Message, Task, TaskState, TaskStatus};
use mesh_core::{A2aError, ContextId, ErrorKind, TaskId};
use serde_json::value::RawValue;

pub use super::grpc::fuzz::requests as grpc;
pub use super::rest::fuzz::{path as rest_path, query as rest_query};

/// The usual bound (`limits.depth`).
const DEPTH: usize = 64;

/// Whatever comes, it is answered with JSON; and the id comes back as the JSON that it was.
pub fn json_rpc(body: &[u8]) {
    let request = match envelope::open(body, DEPTH) {
        Ok(request) => request,
        Err(refusal) => {
            let _ = id(&envelope::error(&refusal.id, &refusal.error));
            return;
        }
    };
    assert!(envelope::check_depth(body, DEPTH).is_ok());
    let sent = id(body);
    assert_eq!(id(&envelope::result(&request.id, b"{}")), sent);
    let error = A2aError::new(ErrorKind::MethodNotFound, request.method.clone());
    assert_eq!(id(&envelope::error(&request.id, &error)), sent);
    let params = request.params.map_or("{}", RawValue::get);
    if let Some(method) = Method::parse(&request.method) {
        operation(Operation::decode(method, params, &HeaderMap::new()));
    }
    if let Some(method) = Method::parse_v03(&request.method) {
        operation(v03::decode(method, params, &HeaderMap::new()));
    }
}

/// The first byte says whose parameters the rest are.
pub fn params(data: &[u8]) {
    const METHODS: [Method; 6] = [
        Method::SendMessage,
        Method::SendStreamingMessage,
        Method::GetTask,
        Method::ListTasks,
        Method::CancelTask,
        Method::SubscribeToTask,
    ];
    let Some((which, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (method, headers) = (METHODS[usize::from(*which) % METHODS.len()], HeaderMap::new());
    if *which < 128 {
        operation(Operation::decode(method, text, &headers));
    } else {
        operation(v03::decode(method, text, &headers));
    }
}

/// A header that is taken is a number, and the number written is taken for itself. As a list of extensions, what a header
/// activates is announced, and the announcement activates the same.
pub fn resume(data: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(data) else { return };
    let offered = Offered::new(&["urn:a", "urn:b"].map(|uri| a2a::AgentExtension {
        uri: uri.to_owned(),
        description: None,
        required: None,
        params: None,
    }));
    let headers = HeaderMap::from_iter([(extensions::HEADER, header.clone())]);
    let activated = Extensions::negotiate(&offered, &headers);
    let mut answer = HeaderMap::new();
    activated.announce(&mut answer);
    assert_eq!(Extensions::negotiate(&offered, &answer), activated);
    if let Ok(Some(seq)) = last_event_id(Some(&header)) {
        let again = last_event_id(Some(&HeaderValue::from(seq)));
        assert_eq!(again.ok().flatten(), Some(seq));
    }
}

/// An event that can be read from the log is written as the same, and can be sent out in every binding.
pub fn event(public: &[u8]) {
    let Ok(event) = TaskEvent::decode(public, None) else { return };
    let again = event.encode(&TaskId::from("t"), &ContextId::from("c"));
    assert_eq!(TaskEvent::decode(&again, None).ok().as_ref(), Some(&event));
    let old = v03::event(&again);
    assert!(old.is_ok(), "{old:?}");
    grpc::fuzz::event(&again);
}

fn operation(decoded: Result<Operation, A2aError>) {
    if let Ok(Operation::Send(params) | Operation::SendStreaming(params)) = decoded {
        message(params.message);
    }
}

/// A message that was taken is written as the same, and a task that holds it can be shown in every binding.
fn message(message: Message) {
    let json = serde_json::to_vec(&message).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Message>(&json).ok().as_ref(), Some(&message));
    let status = TaskStatus { state: TaskState::Working, message: Some(message.clone()), timestamp: None };
    let task = Task {
        id: TaskId::from("t"),
        context_id: ContextId::from("c"),
        status,
        artifacts: Vec::new(),
        history: vec![message],
        metadata: None,
    };
    let (id, context) = (task.id.clone(), task.context_id.clone());
    event(&TaskEvent::Created(Box::new(task)).encode(&id, &context));
}

/// The id in a JSON-RPC object, as it is written: it may be a number that no type of ours can hold.
fn id(json: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Id<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let parsed = serde_json::from_slice::<Id<'_>>(json);
    assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(json));
    parsed.map(|parsed| parsed.id.get().to_owned()).unwrap_or_default()
}
