//! What must be true of a task in a log, whatever the store: numbers, readable events, a head that agrees with them.

use crate::contract::{StoredEvent, TaskHead};
use mesh_core::event::TaskEvent;
use mesh_core::lifecycle::{self, TaskRecord, Violation};
use mesh_core::model::TaskState;
use mesh_core::{Seq, Timestamp};

/// Faults that are told of one task.
const MOST_FAULTS: usize = 8;

/// What is wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    /// It has a head, and nothing else.
    #[error("it has no events")]
    NoEvents,
    /// An event has another number than it must have.
    #[error("event {expected} is missing: event {found} is in its place")]
    Number {
        /// Which number comes next.
        expected: Seq,
        /// Which number is there.
        found: Seq,
    },
    /// The head does not stand at the last event.
    #[error("its head says that event {head} is the last, but event {last} is")]
    Last {
        /// What the head says.
        head: Seq,
        /// What there is.
        last: Seq,
    },
    /// An event is not what any host has written.
    #[error("event {seq} cannot be read: {why}")]
    Unreadable {
        /// Its number.
        seq: Seq,
        /// What the decoder says.
        why: String,
    },
    /// A task begins with its creation, and only that creates it.
    #[error("event {0} is not the creation of the task, or creates it again")]
    Creation(Seq),
    /// The events are those of another task, or of another context.
    #[error("its events name {0}")]
    Identity(String),
    /// The head and the events tell different states.
    #[error("its head says {head}, but its events say {events}")]
    State {
        /// What the head says.
        head: TaskState,
        /// What the events say.
        events: TaskState,
    },
    /// The head and the events tell different times of the state.
    #[error("its head says that it is so since {head}, but its events say {events}")]
    Since {
        /// What the head says.
        head: Timestamp,
        /// What the events say.
        events: Timestamp,
    },
    /// A promise of the life cycle is broken.
    #[error("{0}")]
    Lifecycle(#[from] Violation),
}

impl TaskFault {
    /// A short name for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoEvents | Self::Number { .. } => "missing-event",
            Self::Last { .. } | Self::State { .. } | Self::Since { .. } => "wrong-head",
            Self::Unreadable { .. } => "unreadable-event",
            Self::Creation(_) => "wrong-creation",
            Self::Identity(_) => "wrong-task",
            Self::Lifecycle(_) => "broken-lifecycle",
        }
    }
}

/// Looks at one task: give it every event in order, then ask for the verdict. It holds what a task has without its
/// artifacts.
pub(crate) struct TaskCheck<'a> {
    head: &'a TaskHead,
    last: Option<Seq>,
    record: Option<TaskRecord>,
    faults: Vec<TaskFault>,
}

impl<'a> TaskCheck<'a> {
    pub(crate) fn new(head: &'a TaskHead) -> Self {
        Self { head, last: None, record: None, faults: Vec::new() }
    }

    /// The next event.
    pub(crate) fn event(&mut self, event: &StoredEvent) {
        if let Some(expected) = misnumbered(self.head.first, self.last, event.seq) {
            self.note(TaskFault::Number { expected, found: event.seq });
        }
        let first = self.last.is_none();
        self.last = Some(event.seq);
        match TaskEvent::decode(&event.public, event.private.as_deref()) {
            Err(error) => self.note(TaskFault::Unreadable { seq: event.seq, why: error.to_string() }),
            Ok(created @ TaskEvent::Created(_)) if first => {
                self.record = TaskRecord::rebuild(self.head.control.clone(), [created]);
            }
            Ok(TaskEvent::Created(_)) => self.note(TaskFault::Creation(event.seq)),
            Ok(_) if first => self.note(TaskFault::Creation(event.seq)),
            Ok(TaskEvent::Artifact(_)) => {}
            Ok(change) => {
                if let Some(record) = &mut self.record {
                    record.fold(change);
                }
            }
        }
    }

    /// What is wrong, when every event was looked at.
    pub(crate) fn verdict(mut self) -> Vec<TaskFault> {
        let head = self.head;
        let Some(last) = self.last else { return vec![TaskFault::NoEvents] };
        if last != head.seq {
            self.note(TaskFault::Last { head: head.seq, last });
        }
        let unread = self.faults.iter().any(|fault| matches!(fault, TaskFault::Unreadable { .. }));
        // What the events say is known only when every one of them was read.
        if let Some(mut record) = self.record.take().filter(|_| !unread) {
            record.seq = head.seq;
            let task = &record.task;
            if task.id != head.key.task || record.control.owner.tenant != head.key.tenant {
                let named = format!("task {}/{}", record.control.owner.tenant, task.id);
                self.note(TaskFault::Identity(named));
            } else if task.context_id != head.context_id {
                self.note(TaskFault::Identity(format!("context {}", task.context_id)));
            }
            if record.state() != head.state {
                self.note(TaskFault::State { head: head.state, events: record.state() });
            } else if let Some(since) = record.task.status.timestamp.filter(|since| *since != head.status_at)
            {
                self.note(TaskFault::Since { head: head.status_at, events: since });
            } else if let Err(violation) = lifecycle::check(&record) {
                self.note(violation.into());
            }
        }
        self.faults
    }

    fn note(&mut self, fault: TaskFault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }
}

/// The number that an event must have, if it has another one: the first is that of the head, 1 unless the task was trimmed,
/// and each is one more than the last.
fn misnumbered(first: Seq, last: Option<Seq>, found: Seq) -> Option<Seq> {
    let expected = last.map_or(first, |last| last.saturating_add(1));
    (found != expected).then_some(expected)
}
