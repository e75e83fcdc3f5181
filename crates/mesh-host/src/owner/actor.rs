//! The actor.

mod failure;
mod several;

use super::ask::{Ask, Detail, OwnerError, OwnerHandle, Reply};
use super::rows::{encode, head_of, load};
use crate::dispatch::{Activity, Dispatcher, Slot};
use crate::metrics::AgentMetrics;
use crate::worker::{Attempt, Run};
use mesh_core::lifecycle::{
    Command, Control, Effect, Phase, Policy, Rejected, Report, TaskRecord, apply, recovery,
};
use mesh_core::{Clock, HostId, Seq, TaskKey};
use mesh_log::{Append, AppendError, EventLog, LogError, NewEvent};
use several::Said;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

/// Asks that wait for one owner; a worker or client that is faster has to wait.
pub(super) const MAILBOX: usize = 256;
/// How long an owner without an attempt stays after its last ask.
const REST_AFTER: Duration = Duration::from_secs(5);
/// How long to wait before a task whose events could not be recorded is tried again.
const HEAL_AFTER: Duration = Duration::from_secs(1);
/// How long to wait when the log has too much to write already.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(20);

/// What every owner of an agent shares.
pub(crate) struct Shared {
    /// Who this host is to the others.
    pub(crate) host: HostId,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: Policy,
    /// Longest time from a task's creation to its end (`tasks.timeout`).
    pub(crate) timeout: Option<Duration>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) metrics: AgentMetrics,
    /// Owners whose attempt is at work.
    pub(crate) working: Arc<AtomicUsize>,
}

impl Shared {
    /// What is left of a task's time, if there is a limit.
    pub(super) fn time_left(&self, control: &Control) -> Option<Duration> {
        let spent = Duration::from_secs_f64(self.clock.now().seconds_since(control.created));
        self.timeout.map(|limit| limit.saturating_sub(spent))
    }
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
    /// Counted while an attempt is at work.
    working: Option<Working>,
    /// The task has a place in the dispatcher's queue.
    queued: bool,
    waiters: Vec<Reply>,
    /// The attempt whose words were lost: whatever else it says must not be recorded without them.
    broken: Option<u32>,
    /// When to try again what the log refused.
    heal_at: Option<Instant>,
    /// The log is closed: nothing can be done any more.
    over: bool,
    /// Where the task is, if other hosts may change it.
    tail: Option<watch::Receiver<Seq>>,
}

/// What one batch of asks leads to.
#[derive(Default)]
struct Batch {
    events: Vec<NewEvent>,
    effects: Vec<Effect>,
    replies: Vec<Reply>,
    /// What it consists of, kept if another host may have been faster.
    said: Vec<Said>,
    start: Option<(Arc<Run>, Slot)>,
    changed: bool,
    /// Something of an attempt is in it: its words, or that it is lost.
    attempt: bool,
    room: Vec<OwnedSemaphorePermit>,
    /// Who waits until it is recorded, whatever comes of it.
    done: Vec<oneshot::Sender<()>>,
}

/// What an owner does when nobody asks for a while.
enum Idle {
    Heal,
    TimeOut(Duration),
    Retire,
}

struct Working(Arc<AtomicUsize>);

impl Working {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Actor {
    /// The owner of a task that has just been created or read. A task in the queue takes its place there at once.
    pub(super) fn new(
        shared: Arc<Shared>,
        record: TaskRecord,
        owner: &OwnerHandle,
        activity: Option<Activity>,
    ) -> Self {
        let mut actor = Self {
            key: record.key(),
            shared,
            record,
            address: owner.downgrade(),
            run: None,
            activity,
            working: None,
            queued: false,
            waiters: Vec::new(),
            broken: None,
            heal_at: None,
            over: false,
            tail: None,
        };
        actor.count();
        if actor.record.control.phase == Phase::Queued {
            actor.enqueue();
        }
        actor
    }

    /// Reads the task and lives. A task that cannot be read, or is not there, is what all who ask are told.
    pub(super) async fn wake(
        shared: Arc<Shared>,
        key: &TaskKey,
        address: mpsc::WeakSender<Ask>,
        mut asks: mpsc::Receiver<Ask>,
    ) -> Option<Duration> {
        let error = match load(&*shared.log, key, Detail::Whole).await {
            Ok(Some(record)) => {
                // The registry holds a sender for as long as this owner is entered.
                let owner = address.upgrade()?;
                let actor = Self::new(shared, record, &owner, None);
                drop(owner);
                return actor.live(asks, None).await;
            }
            Ok(None) => OwnerError::NotFound,
            Err(error) => error.into(),
        };
        asks.close();
        while let Some(ask) = asks.recv().await {
            if let Ask::Command { reply, .. } | Ask::Snapshot(reply) | Ask::Settled(reply) = ask {
                reply.refuse(error.clone());
            }
        }
        None
    }

    /// Lives until the task has ended and nobody asks any more, or until it rests with its client. `start` is where its
    /// attempt, which is on disk already, is to run; any other attempt that the record names has lost its worker.
    /// Returns after which time the task needs an owner again, whoever asks.
    pub(super) async fn live(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        start: Option<(Arc<Run>, Slot)>,
    ) -> Option<Duration> {
        let mut inbox = Vec::with_capacity(16);
        match (start, recovery(&self.record)) {
            (Some((run, slot)), Ok(Command::AttemptLost { attempt, .. })) => self.begin(run, slot, attempt),
            (None, Ok(Command::AttemptLost { attempt, reason })) if !self.is_remote() => {
                inbox.push(Ask::Lost { attempt, reason });
                self.step(&mut inbox).await;
            }
            _ => {}
        }
        while !self.over && self.next(&mut asks, &mut inbox).await {
            self.step(&mut inbox).await;
        }
        // Who asks just now finds out that the ask is dropped, and asks the next owner. A mailbox that is only dropped keeps what
        // is put in at that moment for as long as anybody holds its address, and who waits for the answer may do so.
        asks.close();
        while asks.recv().await.is_some() {}
        self.left().filter(|_| !self.over)
    }

    /// Waits for asks, or for something to do without any. `false`: there is nothing to wait for.
    async fn next(&mut self, asks: &mut mpsc::Receiver<Ask>, inbox: &mut Vec<Ask>) -> bool {
        self.follow().await;
        let idle = self.idle();
        let known = self.record.seq;
        let more = several::asks_or_news(asks, inbox, self.tail.as_mut(), known);
        let Some((pause, then)) = idle else { return more.await };
        match (timeout(pause, more).await, then) {
            (Ok(got), _) => got,
            (Err(_), Idle::Heal) => {
                self.heal(inbox);
                true
            }
            (Err(_), Idle::TimeOut(limit)) => {
                inbox.push(Ask::TimeOut { limit });
                true
            }
            (Err(_), Idle::Retire) => false,
        }
    }

    /// What to do after how long without asks; nothing while there is something to wait for.
    fn idle(&self) -> Option<(Duration, Idle)> {
        if let Some(at) = self.heal_at {
            return Some((at.saturating_duration_since(Instant::now()), Idle::Heal));
        }
        match (self.record.control.phase, self.shared.timeout) {
            // Everybody has been told: leave at once, unless more is waiting already.
            (Phase::Ended, _) => Some((Duration::ZERO, Idle::Retire)),
            _ if self.is_remote() && self.waiters.is_empty() => Some((REST_AFTER, Idle::Retire)),
            (Phase::Waiting(None), _) if self.waiters.is_empty() && self.left() > Some(REST_AFTER) => {
                Some((REST_AFTER, Idle::Retire))
            }
            (Phase::Waiting(None), None) if self.waiters.is_empty() => Some((REST_AFTER, Idle::Retire)),
            (_, Some(limit)) => Some((self.left().unwrap_or_default(), Idle::TimeOut(limit))),
            _ => None,
        }
    }

    /// What is left of the task's time, if it has a limit and has not ended.
    fn left(&self) -> Option<Duration> {
        let control = &self.record.control;
        self.shared.time_left(control).filter(|_| control.phase != Phase::Ended)
    }

    async fn step(&mut self, inbox: &mut Vec<Ask>) {
        if self.has_to_look(inbox) {
            self.look(inbox).await;
        }
        let (view, mut before) = (self.view(), self.record.control.phase);
        let mut batch = Batch::default();
        let expected = self.record.seq;
        for ask in inbox.drain(..) {
            self.take(ask, &mut batch);
        }
        let mut outcome = if batch.changed { self.append(expected, &batch.events).await } else { Ok(()) };
        for _ in 0..several::FASTER_OTHERS {
            if !matches!(outcome, Err(AppendError::Conflict { .. })) || !self.is_shared() {
                break;
            }
            (before, batch, outcome) = self.again(view, batch).await;
        }
        match outcome {
            Ok(()) => {
                self.carry_out(before, batch.effects, batch.start);
                let said = batch.said.into_iter().filter_map(|said| said.reply);
                for reply in said.chain(batch.replies) {
                    reply.answer(&self.record.task, self.record.seq);
                }
            }
            Err(error) => self.recover_from(error, batch).await,
        }
        self.tell_waiters();
    }

    fn take(&mut self, ask: Ask, batch: &mut Batch) {
        match ask {
            Ask::Snapshot(reply) => batch.replies.push(reply),
            Ask::Settled(reply) => {
                self.waiters.retain(|waiter| !waiter.is_unwanted());
                self.waiters.push(reply);
            }
            Ask::Command { command, reply } => match self.apply(command, batch) {
                Ok(()) => {
                    if let Some(said) = batch.said.last_mut() {
                        said.reply = Some(reply);
                    } else {
                        batch.replies.push(reply);
                    }
                }
                Err(rejected) => reply.refuse(rejected.into()),
            },
            Ask::Start { run, slot } => {
                // The dispatcher took it out of its queue.
                self.queued = false;
                let host = self.shared.host.clone();
                match self.apply(Command::StartAttempt { host }, batch) {
                    Ok(()) => batch.start = Some((run, slot)),
                    Err(rejected) => tracing::debug!(task = %self.key.task, %rejected, "not started"),
                }
            }
            Ask::TimeOut { limit } => {
                let limit = format!("{limit:?} (tasks.timeout)");
                if let Err(rejected) = self.apply(Command::TimeOut { limit }, batch) {
                    tracing::debug!(task = %self.key.task, %rejected, "time is up for a task that is over");
                }
            }
            Ask::Report { attempt, report, room } => {
                batch.room.extend(room);
                self.take_report(attempt, report, batch);
            }
            Ask::Lost { attempt, reason } => self.take_loss(attempt, reason, batch),
            Ask::Release { attempt, reason, done } => {
                self.take_release(attempt, reason, batch);
                batch.done.extend(done);
            }
            Ask::HostLost { host } => self.take_host_loss(host.as_ref(), batch),
            Ask::Check => {}
        }
    }

    fn take_report(&mut self, attempt: u32, report: Report, batch: &mut Batch) {
        if self.broken == Some(attempt) {
            tracing::debug!(task = %self.key.task, attempt, "words of an attempt that lost some were refused");
            return;
        }
        match self.apply(Command::Report { attempt, report }, batch) {
            Ok(()) => batch.attempt = true,
            Err(rejected) => {
                self.shared.metrics.fenced.inc();
                tracing::warn!(
                    tenant = %self.key.tenant, task = %self.key.task, attempt, %rejected,
                    "a worker's line was refused"
                );
            }
        }
    }

    fn take_loss(&mut self, attempt: u32, reason: String, batch: &mut Batch) {
        let shown = reason.clone();
        match self.apply(Command::AttemptLost { attempt, reason }, batch) {
            Ok(()) => {
                batch.attempt = true;
                tracing::warn!(
                    tenant = %self.key.tenant, task = %self.key.task, context = %self.record.task.context_id,
                    trace_id = %self.record.control.trace.trace_id_hex(), attempt, reason = shown, "attempt lost"
                );
            }
            Err(rejected) => {
                tracing::debug!(task = %self.key.task, %rejected, "loss of an attempt that is over");
            }
        }
    }

    /// Takes a command into the record and its events into the batch.
    fn apply(&mut self, command: Command, batch: &mut Batch) -> Result<(), Rejected> {
        let now = self.shared.clock.now();
        let kept = self.is_shared().then(|| command.clone());
        let transition = apply(&self.record, command, &self.shared.policy, now)?;
        batch.said.extend(kept.map(|command| Said { command, reply: None }));
        batch.changed |= !transition.events.is_empty() || transition.control != self.record.control;
        let task = &self.record.task;
        batch.events.extend(transition.events.iter().map(|event| encode(event, task)));
        batch.effects.extend(transition.effects.iter().cloned());
        self.record.commit(transition);
        Ok(())
    }

    /// Waits while the log is overloaded: so the worker that says too much has to wait, too.
    async fn append(&self, expected: Seq, events: &[NewEvent]) -> Result<(), AppendError> {
        loop {
            let (events, head) = (events.to_vec(), head_of(&self.record));
            match self.shared.log.append(Append { expected_seq: expected, events, head, creates: None }).await
            {
                Err(AppendError::Log(LogError::Overloaded)) => sleep(OVERLOAD_PAUSE).await,
                outcome => return outcome.map(|_| ()),
            }
        }
    }

    fn carry_out(&mut self, before: Phase, effects: Vec<Effect>, start: Option<(Arc<Run>, Slot)>) {
        let after = self.record.control.phase;
        self.count();
        for effect in effects {
            self.carry_out_one(effect);
        }
        if let (Some((run, slot)), Phase::Running(attempt)) = (start, after) {
            self.begin(run, slot, attempt);
        }
        if self.queued && after != Phase::Queued {
            self.queued = false;
            self.shared.dispatcher.dequeue(&self.key);
        }
        if let (Some(run), Phase::Waiting(Some(attempt))) = (&self.run, after)
            && !run.park(&self.key.task, attempt)
        {
            self.give_up(attempt, "too many attempts wait for input; this one starts again with the answer");
        }
        if after.attempt().is_none() {
            self.run = None;
            self.broken = None;
        }
        if after == Phase::Ended && before != Phase::Ended {
            self.finished();
        }
    }

    /// Counts the task as what it is now.
    pub(super) fn count(&mut self) {
        let phase = self.record.control.phase;
        let remote = self.is_remote();
        if matches!(phase, Phase::Waiting(_) | Phase::Ended) || remote {
            self.activity = None;
        } else if self.activity.is_none() {
            self.activity = Some(self.shared.dispatcher.activate());
        }
        if !matches!(phase, Phase::Running(_)) || remote {
            self.working = None;
        } else if self.working.is_none() {
            self.working = Some(Working::begin(&self.shared.working));
        }
    }

    /// Once, however often it is asked for.
    fn enqueue(&mut self) {
        if !self.queued
            && let Some(address) = self.address.upgrade()
        {
            self.queued = true;
            self.shared.dispatcher.enqueue(self.key.clone(), address);
        }
    }

    pub(super) fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Enqueue => self.enqueue(),
            // The host that has the attempt sees it in the log.
            Effect::Deliver { .. } | Effect::StopAttempt { .. } if self.is_remote() => {}
            Effect::Deliver { attempt, message } => {
                let slot = self.shared.dispatcher.take_place();
                let run = self.run.as_ref();
                if !run.is_some_and(|run| run.deliver(&self.key.task, attempt, &message, slot)) {
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
            self.tell_self(Ask::Release {
                attempt: Some(attempt),
                reason: "the worker ended before the task reached it".to_owned(),
                done: None,
            });
        }
    }

    /// Tells itself, later, that an attempt is lost: recorded like any other loss.
    fn give_up(&self, attempt: u32, reason: &str) {
        self.tell_self(Ask::Lost { attempt, reason: reason.to_owned() });
    }

    fn tell_self(&self, ask: Ask) {
        let address = self.address.clone();
        tokio::spawn(async move {
            if let Some(address) = address.upgrade() {
                let _ = address.send(ask).await;
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

    fn tell_waiters(&mut self) {
        let state = self.record.state();
        if state.is_terminal() || state.is_interrupted() {
            for waiter in std::mem::take(&mut self.waiters) {
                waiter.answer(&self.record.task, self.record.seq);
            }
        }
    }
}
