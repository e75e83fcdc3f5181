//! The actor.

use super::load::load;
use crate::dispatch::{Activity, Dispatcher};
use crate::metrics::AgentMetrics;
use crate::worker::{Attempt, Run, Slot};
use bytes::Bytes;
use mesh_core::event::TaskEvent;
use mesh_core::lifecycle::{Command, Effect, Phase, Policy, Rejected, Report, TaskRecord, Transition, apply};
use mesh_core::model::Task;
use mesh_core::{Clock, MessageId, Seq, TaskKey};
use mesh_log::{Append, AppendError, EventLog, LogError, NewEvent, TaskHead};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Asks that wait for one owner; a worker or client that is faster has to wait.
pub(crate) const MAILBOX: usize = 256;
/// How long an owner without an attempt stays after its last ask.
const REST_AFTER: Duration = Duration::from_secs(5);
/// How long to wait before a task whose events could not be recorded is tried again.
const HEAL_AFTER: Duration = Duration::from_secs(1);

/// Where to send asks to.
pub(crate) type OwnerHandle = mpsc::Sender<Ask>;

/// What an owner can be asked.
pub(crate) enum Ask {
    /// A client's command; answered with the task as it is afterwards.
    Command {
        /// What.
        command: Command,
        /// Who wants to know.
        reply: oneshot::Sender<Result<Snapshot, OwnerError>>,
    },
    /// The task as it is.
    Snapshot(oneshot::Sender<Result<Snapshot, OwnerError>>),
    /// The task, when it has ended or waits for its client.
    Settled(oneshot::Sender<Result<Snapshot, OwnerError>>),
    /// A worker takes the task on.
    Start {
        /// In which process.
        run: Arc<Run>,
        /// The place it takes.
        slot: Slot,
    },
    /// A worker says something.
    Report {
        /// Fencing token.
        attempt: u32,
        /// What.
        report: Report,
    },
    /// The task's time is up.
    TimeOut {
        /// How long it might take.
        limit: Duration,
    },
    /// A worker is gone.
    Lost {
        /// Fencing token.
        attempt: u32,
        /// Why, safe to show.
        reason: String,
    },
}

/// A task as it was after event `seq`.
pub(crate) struct Snapshot {
    pub(crate) task: Task,
    pub(crate) seq: Seq,
}

/// Why an ask was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    /// There is no such task.
    #[error("no such task")]
    NotFound,
    /// The task does not allow it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Arc<LogError>),
    /// The host is shutting down.
    #[error("the host is shutting down")]
    Closed,
}

impl From<LogError> for OwnerError {
    fn from(error: LogError) -> Self {
        Self::Log(Arc::new(error))
    }
}

/// What every owner of an agent shares.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: Policy,
    /// Longest time from a task's creation to its end (`tasks.timeout`).
    pub(crate) timeout: Option<Duration>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) metrics: AgentMetrics,
}

/// An owner. See the module.
pub(super) struct Actor {
    shared: Arc<Shared>,
    key: TaskKey,
    record: TaskRecord,
    /// Its own address, handed to whoever has to report back.
    address: mpsc::WeakSender<Ask>,
    run: Option<Arc<Run>>,
    activity: Option<Activity>,
    waiters: Vec<oneshot::Sender<Result<Snapshot, OwnerError>>>,
}

/// What one batch of asks leads to.
#[derive(Default)]
struct Batch {
    events: Vec<NewEvent>,
    effects: Vec<Effect>,
    replies: Vec<oneshot::Sender<Result<Snapshot, OwnerError>>>,
    start: Option<(Arc<Run>, Slot)>,
    changed: bool,
}

impl Actor {
    pub(super) fn new(
        shared: Arc<Shared>,
        record: TaskRecord,
        address: mpsc::WeakSender<Ask>,
        activity: Option<Activity>,
    ) -> Self {
        let key = record.key();
        Self { shared, key, record, address, run: None, activity, waiters: Vec::new() }
    }

    /// Lives until the task has ended and nobody asks any more, or until it rests with its client.
    pub(super) async fn live(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        start: Option<(Arc<Run>, Slot)>,
        retire: impl FnOnce(),
    ) {
        if let (Some((run, slot)), Phase::Running(attempt)) = (start, self.record.control.phase) {
            self.begin(run, slot, attempt);
        }
        let mut inbox = Vec::with_capacity(16);
        loop {
            let next = self.next(&mut asks, &mut inbox);
            let got = match self.rests_after() {
                Some(pause) => tokio::time::timeout(pause, next).await.unwrap_or(0),
                None => next.await,
            };
            if got == 0 {
                break;
            }
            self.step(&mut inbox).await;
        }
        retire();
        asks.close();
        while asks.recv_many(&mut inbox, MAILBOX).await > 0 {
            self.step(&mut inbox).await;
        }
    }

    /// Waits for asks, or for the end of the task's time.
    async fn next(&self, asks: &mut mpsc::Receiver<Ask>, inbox: &mut Vec<Ask>) -> usize {
        let Some(limit) = self.shared.timeout.filter(|_| self.record.control.phase != Phase::Ended) else {
            return asks.recv_many(inbox, MAILBOX).await;
        };
        let spent = self.shared.clock.now().seconds_since(self.record.control.created);
        let left = limit.saturating_sub(Duration::from_secs_f64(spent));
        match tokio::time::timeout(left, asks.recv_many(inbox, MAILBOX)).await {
            Ok(got) => got,
            Err(_) => {
                inbox.push(Ask::TimeOut { limit });
                1
            }
        }
    }

    /// How long to wait for more asks; without bound while there is something to wait for.
    fn rests_after(&self) -> Option<Duration> {
        match self.record.control.phase {
            _ if !self.waiters.is_empty() => None,
            // Everybody has been told: leave at once, unless more is waiting already.
            Phase::Ended => Some(Duration::ZERO),
            Phase::Waiting(None) if self.shared.timeout.is_none() => Some(REST_AFTER),
            _ => None,
        }
    }

    async fn step(&mut self, inbox: &mut Vec<Ask>) {
        let before = self.record.control.phase;
        let mut batch = Batch::default();
        let expected = self.record.seq;
        for ask in inbox.drain(..) {
            self.take(ask, &mut batch);
        }
        let outcome = if batch.changed { self.append(expected, &mut batch).await } else { Ok(()) };
        match outcome {
            Ok(()) => {
                self.carry_out(before, batch.effects, batch.start);
                for reply in batch.replies {
                    let _ = reply.send(Ok(self.snapshot()));
                }
                self.tell_waiters();
            }
            Err(error) => self.recover_from(error, batch.replies).await,
        }
    }

    fn take(&mut self, ask: Ask, batch: &mut Batch) {
        match ask {
            Ask::Snapshot(reply) => batch.replies.push(reply),
            Ask::Settled(reply) => {
                self.waiters.retain(|waiter| !waiter.is_closed());
                self.waiters.push(reply);
            }
            Ask::Command { command, reply } => match self.apply(command, batch) {
                Ok(()) => batch.replies.push(reply),
                Err(rejected) => drop(reply.send(Err(rejected.into()))),
            },
            Ask::Start { run, slot } => match self.apply(Command::StartAttempt, batch) {
                Ok(()) => batch.start = Some((run, slot)),
                Err(rejected) => tracing::debug!(task = %self.key.task, %rejected, "not started"),
            },
            Ask::TimeOut { limit } => {
                let limit = format!("{limit:?} (tasks.timeout)");
                if let Err(rejected) = self.apply(Command::TimeOut { limit }, batch) {
                    tracing::debug!(task = %self.key.task, %rejected, "time is up for a task that is over");
                }
            }
            Ask::Report { attempt, report } => self.take_report(attempt, report, batch),
            Ask::Lost { attempt, reason } => {
                tracing::warn!(
                    tenant = %self.key.tenant, task = %self.key.task, context = %self.record.task.context_id,
                    trace_id = %self.record.control.trace.trace_id_hex(), attempt, reason, "attempt lost"
                );
                if let Err(rejected) = self.apply(Command::AttemptLost { attempt, reason }, batch) {
                    tracing::debug!(task = %self.key.task, %rejected, "loss of an attempt that is over");
                }
            }
        }
    }

    fn take_report(&mut self, attempt: u32, report: Report, batch: &mut Batch) {
        if let Err(rejected) = self.apply(Command::Report { attempt, report }, batch) {
            self.shared.metrics.fenced.inc();
            tracing::warn!(
                tenant = %self.key.tenant, task = %self.key.task, attempt, %rejected,
                "a worker's line was refused"
            );
        }
    }

    /// Takes a command into the record and its events into the batch.
    fn apply(&mut self, command: Command, batch: &mut Batch) -> Result<(), Rejected> {
        let now = self.shared.clock.now();
        let transition = apply(&self.record, command, &self.shared.policy, now)?;
        batch.changed |= !transition.events.is_empty() || transition.control != self.record.control;
        self.encode(&transition, batch);
        self.record.commit(transition);
        Ok(())
    }

    fn encode(&self, transition: &Transition, batch: &mut Batch) {
        let task = &self.record.task;
        batch.events.extend(transition.events.iter().map(|event| encode(event, task)));
        batch.effects.extend(transition.effects.iter().cloned());
    }

    async fn append(&self, expected: Seq, batch: &mut Batch) -> Result<(), AppendError> {
        let append = Append {
            expected_seq: expected,
            events: std::mem::take(&mut batch.events),
            head: head_of(&self.record),
            creates: None,
        };
        self.shared.log.append(append).await.map(|_| ())
    }

    fn carry_out(&mut self, before: Phase, effects: Vec<Effect>, start: Option<(Arc<Run>, Slot)>) {
        let after = self.record.control.phase;
        match after {
            Phase::Queued | Phase::Running(_) if self.activity.is_none() => {
                self.activity = Some(self.shared.dispatcher.activate());
            }
            Phase::Waiting(_) | Phase::Ended => self.activity = None,
            _ => {}
        }
        for effect in effects {
            self.carry_out_one(effect);
        }
        if let Some((run, slot)) = start {
            if let Phase::Running(attempt) = after {
                self.begin(run, slot, attempt);
            }
        } else if before == Phase::Queued && after != Phase::Queued {
            self.shared.dispatcher.dequeue(&self.key);
        }
        if let (Some(run), Phase::Waiting(Some(attempt))) = (&self.run, after)
            && !run.park(&self.key.task, attempt)
        {
            self.give_up(attempt, "too many attempts wait for input; this one starts again with the answer");
        }
        if after.attempt().is_none() {
            self.run = None;
        }
        if after == Phase::Ended && before != Phase::Ended {
            self.finished();
        }
    }

    fn carry_out_one(&self, effect: Effect) {
        match effect {
            Effect::Enqueue => {
                if let Some(address) = self.address.upgrade() {
                    self.shared.dispatcher.enqueue(self.key.clone(), address);
                }
            }
            Effect::Deliver { attempt, message } => {
                let delivered =
                    self.run.as_ref().is_some_and(|run| run.deliver(&self.key.task, attempt, &message));
                if !delivered {
                    self.give_up(attempt, "the worker that waited is gone");
                }
            }
            Effect::StopAttempt { attempt } => {
                if let Some(run) = &self.run {
                    run.stop(&self.key.task, attempt);
                }
            }
        }
    }

    fn begin(&mut self, run: Arc<Run>, slot: Slot, attempt: u32) {
        let Some(owner) = self.address.upgrade() else { return };
        let begun = run.begin(Attempt::new(&self.record, attempt, owner, slot));
        self.run = Some(run);
        if !begun {
            self.give_up(attempt, "the worker ended before the task reached it");
        }
    }

    /// Tells itself, later, that an attempt is lost: recorded like any other loss.
    fn give_up(&self, attempt: u32, reason: &str) {
        let (address, reason) = (self.address.clone(), reason.to_owned());
        tokio::spawn(async move {
            if let Some(address) = address.upgrade() {
                let _ = address.send(Ask::Lost { attempt, reason }).await;
            }
        });
    }

    fn finished(&self) {
        let control = &self.record.control;
        let now = self.shared.clock.now();
        let seconds = now.seconds_since(control.created);
        self.shared.metrics.finished(self.record.state(), seconds);
        tracing::info!(
            tenant = %self.key.tenant, task = %self.key.task, context = %self.record.task.context_id,
            trace_id = %control.trace.trace_id_hex(), state = %self.record.state(), seconds,
            attempts = control.attempts, events = self.record.seq, "task ended"
        );
    }

    /// Nothing of the batch was recorded: back to what the log has, and the attempt that went on without it is over.
    async fn recover_from(
        &mut self,
        error: AppendError,
        replies: Vec<oneshot::Sender<Result<Snapshot, OwnerError>>>,
    ) {
        tracing::error!(tenant = %self.key.tenant, task = %self.key.task, %error, "events could not be recorded");
        let error = Arc::new(match error {
            AppendError::Log(error) => error,
            other => LogError::Failed(other.to_string()),
        });
        for reply in replies {
            let _ = reply.send(Err(OwnerError::Log(Arc::clone(&error))));
        }
        match load(&*self.shared.log, &self.key).await {
            Ok(Some(record)) => self.record = record,
            Ok(None) => {}
            Err(error) => {
                tracing::error!(task = %self.key.task, %error, "the task could not be read back");
            }
        }
        let phase = self.record.control.phase;
        if let (Some(run), Some(attempt)) = (&self.run, phase.attempt()) {
            run.stop(&self.key.task, attempt);
        }
        let (address, key, dispatcher) =
            (self.address.clone(), self.key.clone(), Arc::clone(&self.shared.dispatcher));
        tokio::spawn(async move {
            tokio::time::sleep(HEAL_AFTER).await;
            let Some(address) = address.upgrade() else { return };
            if let Some(attempt) = phase.attempt() {
                let reason = "its events could not be recorded".to_owned();
                let _ = address.send(Ask::Lost { attempt, reason }).await;
            } else if phase == Phase::Queued {
                dispatcher.enqueue(key, address);
            }
        });
    }

    fn tell_waiters(&mut self) {
        let state = self.record.state();
        if !(state.is_terminal() || state.is_interrupted()) {
            return;
        }
        for waiter in std::mem::take(&mut self.waiters) {
            if !waiter.is_closed() {
                let _ = waiter.send(Ok(self.snapshot()));
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { task: self.record.task.clone(), seq: self.record.seq }
    }
}

/// An event as the log keeps it.
pub(super) fn encode(event: &TaskEvent, task: &Task) -> NewEvent {
    NewEvent {
        public: Bytes::from(event.encode(&task.id, &task.context_id)),
        private: event.encode_private().map(Bytes::from),
    }
}

/// The row that goes with the record.
pub(super) fn head_of(record: &TaskRecord) -> TaskHead {
    TaskHead {
        key: record.key(),
        context_id: record.task.context_id.clone(),
        state: record.state(),
        status_at: record.task.status.timestamp.unwrap_or(record.control.created),
        seq: record.seq,
        control: record.control.clone(),
    }
}

/// The append that creates a task.
pub(super) fn creation(record: &TaskRecord, event: &TaskEvent, message: MessageId) -> Append {
    Append {
        expected_seq: 0,
        events: vec![encode(event, &record.task)],
        head: head_of(record),
        creates: Some(message),
    }
}
