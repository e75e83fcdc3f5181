//! Fuzz targets: lines of a worker.

use super::lines::{Asked, Envelope, report};
use super::protocol::FromWorker;
use mesh_core::event::{ArtifactChange, StatusChange, TaskEvent};
use mesh_core::lifecycle::Report;
use mesh_core::model::{Message, TaskState, TaskStatus};
use mesh_core::{ContextId, TaskId};

/// What a line reports can be recorded, and read from the record.
pub fn line(line: &[u8]) {
    let Ok(mut parsed) = serde_json::from_slice::<FromWorker<'_>>(line) else {
        let _ = serde_json::from_slice::<Envelope<'_>>(line);
        return;
    };
    let _ = parsed.traceparent.as_deref().and_then(mesh_core::TraceContext::parse);
    if parsed.kind_of_line == "call" {
        let _ = Asked::of(parsed);
        return;
    }
    let status = |state, parts| {
        let status = TaskStatus { state, message: Some(Message::agent(parts)), timestamp: None };
        TaskEvent::Status(Box::new(StatusChange { status, metadata: None, received: None }))
    };
    let event = match report(&mut parsed) {
        Ok(Report::Status(parts)) => status(TaskState::Working, parts),
        Ok(Report::Ask { state, parts } | Report::Finish { state, parts }) => status(state, parts),
        Ok(Report::Artifact { artifact, append, last_chunk }) => {
            TaskEvent::Artifact(Box::new(ArtifactChange { artifact, append, last_chunk }))
        }
        Err(_) => return,
    };
    let encoded = event.encode(&TaskId::from("t"), &ContextId::from("c"));
    assert_eq!(TaskEvent::decode(&encoded, None).ok().as_ref(), Some(&event));
    crate::wire::fuzz::event(&encoded);
}
