//! The transitions.

use super::command::{Command, Effect, NewTask, OnWorkerLoss, Policy, Rejected, Report};
use super::record::{Control, Phase, TaskRecord, event_bytes};
use crate::clock::Timestamp;
use crate::event::{ArtifactChange, StatusChange, TaskEvent};
use crate::ids::HostId;
use crate::model::{Artifact, Message, Metadata, Part, TaskState, TaskStatus};
use serde_json::json;

/// What a command leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// To be recorded, in this order. Empty when the command was carried out before.
    pub events: Vec<TaskEvent>,
    /// To be done once the events are on disk.
    pub effects: Vec<Effect>,
    /// What the mesh remembers from now on; recorded together with the events.
    pub control: Control,
}

/// Metadata key of a status update that tells which attempt it belongs to.
pub const ATTEMPT_KEY: &str = "agentmesh/attempt";
/// Metadata key of a status update that tells why an attempt was lost.
pub const LOST_KEY: &str = "agentmesh/attemptLost";
/// Metadata key of a status update that tells why an attempt was given back without being lost.
pub const RELEASED_KEY: &str = "agentmesh/attemptReleased";

/// A new task: its record, and the event and effect that begin it.
pub fn create(new: &NewTask, now: Timestamp) -> (TaskRecord, TaskEvent, Vec<Effect>) {
    let record = TaskRecord::begin(new, now);
    let event = TaskEvent::Created(Box::new(record.task.clone()));
    (record, event, vec![Effect::Enqueue])
}

/// What a command leads to, or why it is refused. Changes nothing itself.
///
/// # Errors
/// The command does not fit the task as it is.
pub fn apply(
    record: &TaskRecord,
    command: Command,
    policy: &Policy,
    now: Timestamp,
) -> Result<Transition, Rejected> {
    let step = Step { record, policy, now };
    match command {
        Command::Receive(message) => step.receive(message),
        Command::Cancel => step.cancel(),
        Command::TimeOut { limit } => step.time_out(&limit),
        Command::StartAttempt { host } => step.start_attempt(host),
        Command::Report { attempt, report } => step.report(attempt, report),
        Command::Release { attempt, reason } => step.attempt_over(attempt, &reason, false),
        Command::AttemptLost { attempt, reason } => step.attempt_over(attempt, &reason, true),
    }
}

/// What has to be done with a task that was found in the log after a restart: the attempt that held it is gone.
/// `Err` carries the effects to run again when no attempt held it.
pub fn recovery(record: &TaskRecord) -> Result<Command, Vec<Effect>> {
    match record.control.phase {
        Phase::Running(attempt) | Phase::Waiting(Some(attempt)) => {
            Ok(Command::AttemptLost { attempt, reason: "the host was restarted".to_owned() })
        }
        Phase::Queued => Err(vec![Effect::Enqueue]),
        Phase::Waiting(None) | Phase::Ended => Err(Vec::new()),
    }
}

struct Step<'a> {
    record: &'a TaskRecord,
    policy: &'a Policy,
    now: Timestamp,
}

impl Step<'_> {
    fn receive(&self, mut message: Message) -> Result<Transition, Rejected> {
        if self.record.control.received.contains(&message.message_id) {
            return self.received_before(&message);
        }
        let state = self.record.state();
        if state.is_terminal() {
            return Err(Rejected::Ended(state));
        }
        if message.context_id.as_ref().is_some_and(|id| *id != self.record.task.context_id) {
            return Err(Rejected::WrongContext);
        }
        let Phase::Waiting(attempt) = self.record.control.phase else {
            return Err(Rejected::NotWaiting(state));
        };
        message.task_id = Some(self.record.task.id.clone());
        message.context_id = Some(self.record.task.context_id.clone());
        let mut control = self.record.control.clone();
        control.received.push(message.message_id.clone());
        control.answers.push(message.clone());
        let (phase, next, effect) = match attempt {
            Some(attempt) => (
                Phase::Running(attempt),
                TaskState::Working,
                Effect::Deliver { attempt, message: message.clone() },
            ),
            None => (Phase::Queued, TaskState::Submitted, Effect::Enqueue),
        };
        control.phase = phase;
        let event = self.status(next, None, None, Some(message));
        Ok(Transition { events: vec![event], effects: vec![effect], control })
    }

    /// The same message again is not an error and does nothing; another message under its id is one.
    fn received_before(&self, message: &Message) -> Result<Transition, Rejected> {
        // Only the client's own messages: an agent's message may happen to have the same id.
        let mut taken = self.record.task.history.first().into_iter().chain(&self.record.control.answers);
        let known = taken.find(|m| m.message_id == message.message_id);
        if known.is_some_and(|known| known.parts != message.parts) {
            return Err(Rejected::MessageIdReused(message.message_id.clone()));
        }
        Ok(Transition { events: Vec::new(), effects: Vec::new(), control: self.record.control.clone() })
    }

    fn cancel(&self) -> Result<Transition, Rejected> {
        let state = self.record.state();
        if state.is_terminal() {
            return Err(Rejected::NotCancelable(state));
        }
        Ok(self.end(TaskState::Canceled, None, true))
    }

    fn time_out(&self, limit: &str) -> Result<Transition, Rejected> {
        let state = self.record.state();
        if state.is_terminal() {
            return Err(Rejected::Ended(state));
        }
        let text = format!("the task took longer than {limit}");
        Ok(self.end(TaskState::Failed, said(vec![Part::text(text)]), true))
    }

    fn start_attempt(&self, host: HostId) -> Result<Transition, Rejected> {
        if self.record.control.phase != Phase::Queued {
            return Err(Rejected::NotQueued);
        }
        let mut control = self.record.control.clone();
        control.attempts += 1;
        control.phase = Phase::Running(control.attempts);
        control.holder = Some(host);
        control.touched.clear();
        let metadata = metadata(ATTEMPT_KEY, json!(control.attempts));
        let event = self.status(TaskState::Working, None, Some(metadata), None);
        Ok(Transition { events: vec![event], effects: Vec::new(), control })
    }

    fn report(&self, attempt: u32, report: Report) -> Result<Transition, Rejected> {
        match self.record.control.phase {
            Phase::Running(current) if current == attempt => {}
            Phase::Waiting(Some(current)) if current == attempt => match report {
                Report::Finish { .. } => {}
                _ => return Err(Rejected::AttemptWaits(attempt)),
            },
            phase => return Err(Rejected::StaleAttempt { given: attempt, current: phase.attempt() }),
        }
        let transition = match report {
            Report::Status(parts) => self.keep(self.status(TaskState::Working, said(parts), None, None)),
            Report::Artifact { artifact, append, last_chunk } => self.artifact(artifact, append, last_chunk),
            Report::Ask { state, parts } if state.is_interrupted() => {
                let mut transition = self.keep(self.status(state, said(parts), None, None));
                transition.control.phase = Phase::Waiting(Some(attempt));
                transition
            }
            Report::Finish { state, parts } if state.is_terminal() => {
                return Ok(self.end(state, said(parts), false));
            }
            Report::Ask { state, .. } | Report::Finish { state, .. } => {
                return Err(Rejected::WrongState(state));
            }
        };
        Ok(self.within_limits(transition))
    }

    /// The first chunk that an attempt writes of an artifact replaces what an earlier attempt left of it.
    fn artifact(&self, artifact: Artifact, append: bool, last_chunk: bool) -> Transition {
        let mut control = self.record.control.clone();
        let again = !control.touched.insert(artifact.artifact_id.clone());
        let change = ArtifactChange { artifact, append: append && again, last_chunk };
        Transition { events: vec![TaskEvent::Artifact(Box::new(change))], effects: Vec::new(), control }
    }

    /// The attempt is over without a result; `lost` if that counts against `on_worker_loss`.
    fn attempt_over(&self, attempt: u32, reason: &str, lost: bool) -> Result<Transition, Rejected> {
        let phase = self.record.control.phase;
        if phase.attempt() != Some(attempt) {
            return Err(Rejected::StaleAttempt { given: attempt, current: phase.attempt() });
        }
        let mut control = self.record.control.clone();
        if matches!(phase, Phase::Waiting(_)) {
            // Nothing was being done: the client's answer starts a new attempt.
            control.phase = Phase::Waiting(None);
            control.holder = None;
            return Ok(Transition { events: Vec::new(), effects: Vec::new(), control });
        }
        control.losses += u32::from(lost);
        let retries = match self.policy.on_worker_loss {
            OnWorkerLoss::Retry(times) => times,
            OnWorkerLoss::Fail => 0,
        };
        if lost && control.losses > retries {
            let text = format!("the worker was lost in attempt {attempt} ({reason}) and no retry is left");
            let mut transition = self.end(TaskState::Failed, said(vec![Part::text(text)]), false);
            transition.control.losses = control.losses;
            return Ok(transition);
        }
        control.phase = Phase::Queued;
        control.holder = None;
        let mut metadata = metadata(ATTEMPT_KEY, json!(attempt));
        let why = if lost { LOST_KEY } else { RELEASED_KEY };
        metadata.insert(why.to_owned(), json!(reason));
        let event = self.status(TaskState::Submitted, None, Some(metadata), None);
        Ok(Transition { events: vec![event], effects: vec![Effect::Enqueue], control })
    }

    /// A task over its limits fails instead of growing. One event is kept in reserve for saying so.
    fn within_limits(&self, transition: Transition) -> Transition {
        let events = self.record.seq + transition.events.len() as u64;
        let bytes = self.record.bytes + transition.events.iter().map(event_bytes).sum::<u64>();
        let exceeded = if events >= self.policy.max_events {
            format!("{} events (limits.task_events)", self.policy.max_events)
        } else if bytes > self.policy.max_bytes {
            format!("{} bytes (limits.task_bytes)", self.policy.max_bytes)
        } else {
            return transition;
        };
        let text = format!("the task went over its limit of {exceeded}");
        self.end(TaskState::Failed, said(vec![Part::text(text)]), true)
    }

    fn end(&self, state: TaskState, message: Option<Message>, stop: bool) -> Transition {
        let attempt = self.record.control.phase.attempt().filter(|_| stop);
        let mut transition = self.keep(self.status(state, message, None, None));
        transition.control.phase = Phase::Ended;
        transition.control.holder = None;
        transition.control.touched.clear();
        transition.effects = attempt.map(|attempt| Effect::StopAttempt { attempt }).into_iter().collect();
        transition
    }

    fn keep(&self, event: TaskEvent) -> Transition {
        Transition { events: vec![event], effects: Vec::new(), control: self.record.control.clone() }
    }

    fn status(
        &self,
        state: TaskState,
        message: Option<Message>,
        metadata: Option<Metadata>,
        received: Option<Message>,
    ) -> TaskEvent {
        let message = message.map(|mut message| {
            message.task_id = Some(self.record.task.id.clone());
            message.context_id = Some(self.record.task.context_id.clone());
            message
        });
        let status = TaskStatus { state, message, timestamp: Some(self.now) };
        TaskEvent::Status(Box::new(StatusChange { status, metadata, received }))
    }
}

fn said(parts: Vec<Part>) -> Option<Message> {
    (!parts.is_empty()).then(|| Message::agent(parts))
}

fn metadata(key: &str, value: serde_json::Value) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(key.to_owned(), value);
    metadata
}
