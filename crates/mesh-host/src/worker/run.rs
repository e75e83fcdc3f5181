//! One worker process as the owners see it.

use super::protocol::ToWorker;
use crate::dispatch::Slot;
use crate::owner::OwnerHandle;
use bytes::Bytes;
use mesh_core::lifecycle::TaskRecord;
use mesh_core::model::Message;
use mesh_core::{ContextId, Principal, TaskId, TraceContext};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Lines that wait to be written to a worker. One that reads so slowly is given up.
pub(super) const OUTBOX: usize = 4096;
/// Bytes of events that were read from a worker and are not on disk yet; beyond it, the worker has to wait.
const UNRECORDED: usize = 8 << 20;

/// An attempt that is to begin.
pub(crate) struct Attempt {
    task: TaskId,
    line: Bytes,
    state: AttemptState,
}

struct AttemptState {
    number: u32,
    owner: OwnerHandle,
    /// None while it waits for its client.
    slot: Option<Slot>,
    parked: bool,
    /// Canceled by the host: what it still says is thrown away.
    stopping: bool,
    scope: CallScope,
}

/// On whose behalf an attempt calls tools and agents.
#[derive(Clone)]
pub(crate) struct CallScope {
    pub(crate) task: TaskId,
    /// Fencing token.
    pub(crate) attempt: u32,
    pub(crate) context: ContextId,
    pub(crate) owner: Principal,
    pub(crate) trace: TraceContext,
    /// Canceled when the attempt is over.
    pub(crate) over: CancellationToken,
}

impl Attempt {
    /// The attempt `number` of a task that has just been leased.
    pub(crate) fn new(record: &TaskRecord, number: u32, owner: OwnerHandle, slot: Slot) -> Self {
        let (task, control) = (&record.task, &record.control);
        let trace = control.trace.child();
        let first = task.history.iter().find(|m| Some(&m.message_id) == control.received.first());
        let line = first.map_or_else(Bytes::new, |message| {
            ToWorker::Task {
                task: task.id.as_str(),
                attempt: number,
                context: task.context_id.as_str(),
                tenant: control.owner.tenant.as_str(),
                principal: &control.owner,
                message,
                answers: &control.answers,
                traceparent: trace.to_string(),
            }
            .encode()
        });
        let scope = CallScope {
            task: task.id.clone(),
            attempt: number,
            context: task.context_id.clone(),
            owner: control.owner.clone(),
            trace,
            over: CancellationToken::new(),
        };
        let state = AttemptState { number, owner, slot: Some(slot), parked: false, stopping: false, scope };
        Self { task: task.id.clone(), line, state }
    }
}

/// What the reader of a worker's lines needs to know of the attempt that a line is about.
pub(super) enum Speaker {
    /// The current attempt.
    Current { owner: OwnerHandle, scope: CallScope },
    /// An attempt that was told to stop, or is not known: nothing that it says counts.
    Over,
}

/// A worker process with the attempts that run in it.
pub(crate) struct Run {
    outbox: mpsc::Sender<Bytes>,
    table: Mutex<Table>,
    max_parked: usize,
    grace: Duration,
    room: Arc<Semaphore>,
    /// Canceled when the process does not do what it is told, and has to be replaced.
    pub(super) replace: CancellationToken,
    /// Canceled when nothing may be at work in it any more.
    pub(super) fenced: CancellationToken,
}

#[derive(Default)]
struct Table {
    attempts: HashMap<TaskId, AttemptState>,
    /// Attempts that were told to stop and have not yet, while a later one of the same task is here already.
    stragglers: HashSet<(TaskId, u32)>,
    parked: usize,
    finished: u64,
    closed: bool,
}

impl Run {
    pub(crate) fn new(outbox: mpsc::Sender<Bytes>, max_parked: usize, grace: Duration) -> Arc<Self> {
        let (table, replace) = (Mutex::default(), CancellationToken::new());
        let room = Arc::new(Semaphore::new(UNRECORDED));
        let fenced = CancellationToken::new();
        Arc::new(Self { outbox, table, max_parked, grace, room, replace, fenced })
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process takes no new attempts any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.replace.is_cancelled() || self.table().closed
    }

    /// Whether any attempt has ended in the process.
    pub(super) fn has_finished_attempts(&self) -> bool {
        self.table().finished > 0
    }

    /// How many attempts are at work; those that wait for their client are not.
    pub(super) fn busy(&self) -> usize {
        let table = self.table();
        table.attempts.len() - table.parked
    }

    /// Gives an attempt to the worker. `false`: the process is gone, and knows nothing of it.
    pub(crate) fn begin(&self, attempt: Attempt) -> bool {
        let mut table = self.table();
        if table.closed || self.outbox.try_send(attempt.line).is_err() {
            return false;
        }
        let task = attempt.task.clone();
        if let Some(earlier) = table.attempts.insert(attempt.task, attempt.state) {
            earlier.scope.over.cancel();
            table.parked -= usize::from(earlier.parked);
            table.stragglers.insert((task, earlier.number));
        }
        true
    }

    /// Room for an event of so many bytes until it is on disk. Waits for it.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(UNRECORDED)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()
    }

    /// The attempt waits for its client, and gives its place back. `false`: too many wait already.
    pub(crate) fn park(self: &Arc<Self>, task: &TaskId, number: u32) -> bool {
        let mut table = self.table();
        let room = table.parked < self.max_parked;
        let Some(attempt) = table.attempts.get_mut(task).filter(|a| a.number == number) else { return true };
        if attempt.parked {
            return true;
        }
        if room {
            attempt.slot = None;
            attempt.parked = true;
            table.parked += 1;
        } else {
            drop(table);
            self.stop(task, number);
        }
        room
    }

    /// Gives the client's answer to an attempt that waits, and a place to go on in. `false`: it is gone.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        task: &TaskId,
        number: u32,
        message: &Message,
        slot: Slot,
    ) -> bool {
        let mut table = self.table();
        let Some(attempt) = table.attempts.get_mut(task).filter(|a| a.number == number && !a.stopping) else {
            return false;
        };
        attempt.slot.get_or_insert(slot);
        let was_parked = std::mem::take(&mut attempt.parked);
        table.parked -= usize::from(was_parked);
        let line = ToWorker::Input { task: task.as_str(), attempt: number, message }.encode();
        let written = self.outbox.try_send(line).is_ok();
        drop(table);
        if !written {
            self.stop(task, number);
        }
        written
    }

    /// Tells the worker to stop an attempt. If it has not within the grace period, the process is replaced.
    pub(crate) fn stop(self: &Arc<Self>, task: &TaskId, number: u32) {
        let over = {
            let mut table = self.table();
            let Some(attempt) = table.attempts.get_mut(task).filter(|a| a.number == number) else { return };
            attempt.stopping = true;
            attempt.scope.over.cancel();
            let was_parked = std::mem::take(&mut attempt.parked);
            table.parked -= usize::from(was_parked);
            self.outbox.try_send(ToWorker::Cancel { task: task.as_str(), attempt: number }.encode())
        };
        let (run, task) = (Arc::clone(self), task.clone());
        if over.is_err() {
            run.replace.cancel();
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(run.grace).await;
            if run.finish(&task, number) {
                tracing::warn!(task = %task, attempt = number, "the worker did not stop a canceled task in time");
                run.replace.cancel();
            }
        });
    }

    /// Writes a line if there is room for it.
    pub(super) fn try_send(&self, line: Bytes) -> bool {
        self.outbox.try_send(line).is_ok()
    }

    /// Writes a line.
    pub(super) async fn send(&self, line: Bytes) -> bool {
        self.outbox.send(line).await.is_ok()
    }

    /// Who may say something about `task` as attempt `number`.
    pub(super) fn speaker(&self, task: &str, number: u32) -> Speaker {
        match self.table().attempts.get(task) {
            Some(attempt) if attempt.number == number && !attempt.stopping => {
                Speaker::Current { owner: attempt.owner.clone(), scope: attempt.scope.clone() }
            }
            _ => Speaker::Over,
        }
    }

    /// The attempt is over: its place is free. `false` if it was over before.
    pub(crate) fn finish(&self, task: &TaskId, number: u32) -> bool {
        let mut table = self.table();
        if table.attempts.get(task).is_none_or(|a| a.number != number) {
            return table.stragglers.remove(&(task.clone(), number));
        }
        let gone = table.attempts.remove(task);
        table.finished += 1;
        table.parked -= usize::from(gone.as_ref().is_some_and(|a| a.parked));
        if let Some(attempt) = gone {
            attempt.scope.over.cancel();
        }
        true
    }

    /// The process is gone: every attempt in it is lost, and its owner is told.
    pub(super) async fn close(&self, reason: &str) {
        let lost: Vec<_> = {
            let mut table = self.table();
            table.closed = true;
            table.parked = 0;
            table.stragglers.clear();
            table.attempts.drain().map(|(_, attempt)| attempt).collect()
        };
        for attempt in lost {
            attempt.scope.over.cancel();
            if !attempt.stopping {
                let ask = crate::owner::Ask::Lost { attempt: attempt.number, reason: reason.to_owned() };
                let _ = attempt.owner.send(ask).await;
            }
        }
    }

    /// Kills the process at once: its host may not be the one any more that its attempts belong to.
    pub(crate) fn fence(&self) {
        self.retire();
        self.fenced.cancel();
    }

    /// No new attempts from now on.
    pub(super) fn retire(&self) {
        self.table().closed = true;
    }
}
