//! Everything that is known about a task.

use super::command::NewTask;
use crate::clock::Timestamp;
use crate::event::{ArtifactChange, TaskEvent};
use crate::ids::{AgentName, ArtifactId, HostId, MessageId, Seq, TaskKey};
use crate::model::{Artifact, Content, Message, Part, Task, TaskState};
use crate::principal::Principal;
use crate::trace::TraceContext;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who holds the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its agent's queue.
    Queued,
    /// An attempt that runs.
    Running(u32),
    /// The client, who is asked for input; with the attempt that waits for it, if that is still alive.
    Waiting(Option<u32>),
    /// Nobody: it is over.
    Ended,
}

impl Phase {
    /// The attempt that holds the lease, running or waiting.
    pub fn attempt(self) -> Option<u32> {
        match self {
            Self::Running(attempt) => Some(attempt),
            Self::Waiting(attempt) => attempt,
            Self::Queued | Self::Ended => None,
        }
    }
}

/// What the mesh itself has to remember of a task; stored beside the events, in the same transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Who is to do it.
    pub agent: AgentName,
    /// Whose it is.
    pub owner: Principal,
    /// Who holds it.
    pub phase: Phase,
    /// The host that runs the attempt in `phase`; none when there is no attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HostId>,
    /// Attempts started so far; the last one's number is its fencing token.
    pub attempts: u32,
    /// Attempts lost so far.
    pub losses: u32,
    /// Messages of the client after the first, in order: what a new attempt need not ask again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Message>,
    /// Ids of every message the client sent to this task.
    pub received: Vec<MessageId>,
    /// Where the task stands in the trace of who created it.
    pub trace: TraceContext,
    /// When it was created.
    pub created: Timestamp,
    /// Artifacts that the current attempt has written. Not stored: a restart ends every attempt.
    #[serde(skip)]
    pub touched: BTreeSet<ArtifactId>,
}

/// A task with its control record and the number of its last event.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// What clients see.
    pub task: Task,
    /// What the mesh remembers.
    pub control: Control,
    /// The number of the last event; equal to the number of events.
    pub seq: Seq,
    /// Bytes of text and data held, roughly.
    pub bytes: u64,
}

impl TaskRecord {
    /// The store key.
    pub fn key(&self) -> TaskKey {
        TaskKey::new(self.control.owner.tenant.clone(), self.task.id.clone())
    }

    /// Where the task is.
    pub fn state(&self) -> TaskState {
        self.task.status.state
    }

    /// The record of a task that has just been created.
    pub(super) fn begin(new: &NewTask, now: Timestamp) -> Self {
        let status =
            crate::model::TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(now) };
        let mut message = new.message.clone();
        message.task_id = Some(new.id.clone());
        message.context_id = Some(new.context_id.clone());
        let control = Control {
            agent: new.agent.clone(),
            owner: new.owner.clone(),
            phase: Phase::Queued,
            holder: None,
            attempts: 0,
            losses: 0,
            answers: Vec::new(),
            received: vec![message.message_id.clone()],
            trace: new.trace,
            created: now,
            touched: BTreeSet::new(),
        };
        let bytes = message.parts.iter().map(part_bytes).sum();
        let task = Task {
            id: new.id.clone(),
            context_id: new.context_id.clone(),
            status,
            artifacts: Vec::new(),
            history: vec![message],
            metadata: None,
        };
        Self { task, control, seq: 1, bytes }
    }

    /// Takes one event into the task. The first must be `Created`, and only the first: see [`rebuild`](Self::rebuild).
    pub fn fold(&mut self, event: TaskEvent) {
        self.seq += 1;
        self.bytes += event_bytes(&event);
        match event {
            TaskEvent::Created(task) => self.task = *task,
            TaskEvent::Status(change) => {
                let previous = std::mem::replace(&mut self.task.status, change.status);
                self.task.history.extend(previous.message);
                self.task.history.extend(change.received);
            }
            TaskEvent::Artifact(change) => fold_artifact(&mut self.task.artifacts, *change),
        }
    }

    /// Takes a transition that is being recorded into the record.
    pub fn commit(&mut self, transition: super::Transition) {
        for event in transition.events {
            self.fold(event);
        }
        self.control = transition.control;
        debug_assert_eq!(super::check(self), Ok(()), "a committed transition keeps the invariants");
    }

    /// Puts a record together from what the log holds. `None` if the first event is not a `Created`.
    pub fn rebuild(control: Control, events: impl IntoIterator<Item = TaskEvent>) -> Option<Self> {
        let mut events = events.into_iter();
        let first = events.next()?;
        let bytes = event_bytes(&first);
        let TaskEvent::Created(task) = first else { return None };
        let mut record = Self { task: *task, control, seq: 1, bytes };
        for event in events {
            record.fold(event);
        }
        Some(record)
    }
}

fn fold_artifact(artifacts: &mut Vec<Artifact>, change: ArtifactChange) {
    let incoming = change.artifact;
    match artifacts.iter_mut().find(|known| known.artifact_id == incoming.artifact_id) {
        Some(known) if change.append => known.parts.extend(incoming.parts),
        Some(known) => *known = incoming,
        None => artifacts.push(incoming),
    }
}

fn part_bytes(part: &Part) -> u64 {
    let content = match &part.content {
        Content::Text(text) | Content::Raw(text) | Content::Url(text) => text.len(),
        Content::Data(value) => value_bytes(value),
    };
    content as u64 + 32
}

/// The size of a JSON value, near enough for a limit, without writing it out.
fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(value_bytes).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(k, v)| k.len() + 4 + value_bytes(v)).sum::<usize>() + 2,
    }
}

/// What an event adds to a task's size.
pub(super) fn event_bytes(event: &TaskEvent) -> u64 {
    let messages = |list: &[&Option<Message>]| {
        list.iter().filter_map(|m| m.as_ref()).flat_map(|m| &m.parts).map(part_bytes).sum::<u64>()
    };
    match event {
        TaskEvent::Created(task) => task.history.iter().flat_map(|m| &m.parts).map(part_bytes).sum(),
        TaskEvent::Status(change) => messages(&[&change.status.message, &change.received]),
        TaskEvent::Artifact(change) => change.artifact.parts.iter().map(part_bytes).sum(),
    }
}
