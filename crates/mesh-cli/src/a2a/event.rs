//! One event of a stream.

use super::view;
use mesh_core::model::TaskState;
use serde::Serialize;
use serde_json::Value;

/// A `StreamResponse` with its number, if the server numbers its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Event {
    /// Its number within the task.
    pub(crate) seq: Option<u64>,
    /// As received.
    #[serde(rename = "event")]
    pub(crate) value: Value,
}

/// What kind of event it is, with its content.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    /// The whole task.
    Task(&'a Value),
    /// A direct answer without a task.
    Message(&'a Value),
    /// A change of status.
    Status(&'a Value),
    /// A change of an artifact.
    Artifact(&'a Value),
    /// Something newer than this client.
    Unknown,
}

impl Event {
    pub(crate) fn new(seq: Option<u64>, value: Value) -> Self {
        Self { seq, value }
    }

    pub(crate) fn kind(&self) -> Kind<'_> {
        let get = |name| self.value.get(name).filter(|value| value.is_object());
        get("task")
            .map(Kind::Task)
            .or_else(|| get("message").map(Kind::Message))
            .or_else(|| get("statusUpdate").map(Kind::Status))
            .or_else(|| get("artifactUpdate").map(Kind::Artifact))
            .unwrap_or(Kind::Unknown)
    }

    /// The task it is about.
    pub(crate) fn task_id(&self) -> Option<&str> {
        match self.kind() {
            Kind::Task(task) => task["id"].as_str(),
            Kind::Status(update) | Kind::Artifact(update) => update["taskId"].as_str(),
            Kind::Message(message) => message["taskId"].as_str(),
            Kind::Unknown => None,
        }
    }

    /// The state that it says the task is in.
    pub(crate) fn state(&self) -> Option<TaskState> {
        match self.kind() {
            Kind::Task(of) | Kind::Status(of) => view::state(of),
            Kind::Message(_) | Kind::Artifact(_) | Kind::Unknown => None,
        }
    }
}
