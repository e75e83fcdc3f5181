//! The queue in front of an agent's worker: who may wait, who is next, and when there is a place.

use crate::metrics::AgentMetrics;
use crate::owner::{Ask, OwnerHandle};
use crate::worker::Run;
use mesh_core::TaskKey;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The process that takes new attempts now, if one is ready.
pub(crate) type ReadyRun = watch::Receiver<Option<Arc<Run>>>;

/// Tasks that wait for a worker, oldest first.
///
/// A client's new task is refused when `concurrency` tasks run and `queue` wait. What is in the queue already comes back
/// into it after a worker's loss or a restart without being counted against that bound: it was admitted before.
pub(crate) struct Dispatcher {
    waiting: Mutex<VecDeque<(TaskKey, OwnerHandle)>>,
    arrived: Notify,
    slots: Arc<Places>,
    active: Arc<AtomicUsize>,
    admitted: usize,
    ready: ReadyRun,
    /// Nothing may be started here now.
    paused: watch::Sender<bool>,
    metrics: AgentMetrics,
}

/// The agent's `concurrency` places.
struct Places {
    free: Semaphore,
    /// Places taken beyond those that there are.
    owed: Mutex<usize>,
}

/// One of the agent's places; given back when dropped.
pub(crate) struct Slot(Arc<Places>);

impl Places {
    async fn take(self: &Arc<Self>) -> Option<Slot> {
        self.free.acquire().await.ok()?.forget();
        Some(Slot(Arc::clone(self)))
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        self.free.try_acquire().ok()?.forget();
        Some(Slot(Arc::clone(self)))
    }

    fn take_or_owe(self: &Arc<Self>) -> Slot {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        self.try_take().unwrap_or_else(|| {
            *owed += 1;
            Slot(Arc::clone(self))
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut owed = self.0.owed.lock().unwrap_or_else(PoisonError::into_inner);
        match owed.checked_sub(1) {
            Some(left) => *owed = left,
            None => self.0.free.add_permits(1),
        }
    }
}

/// Counts a task as active, queued or running, for as long as it lives.
pub(crate) struct Activity {
    active: Arc<AtomicUsize>,
    metrics: AgentMetrics,
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.metrics.active.dec();
    }
}

impl Dispatcher {
    /// A queue for an agent that runs `concurrency` attempts at a time and lets `queue` tasks wait.
    pub(crate) fn new(concurrency: usize, queue: usize, ready: ReadyRun, metrics: AgentMetrics) -> Self {
        Self {
            ready,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            slots: Arc::new(Places { free: Semaphore::new(concurrency), owed: Mutex::new(0) }),
            active: Arc::default(),
            admitted: concurrency.saturating_add(queue),
            paused: watch::channel(false).0,
            metrics,
        }
    }

    /// Takes a place for a new task; `None` if there is none.
    pub(crate) fn admit(&self) -> Option<Activity> {
        let taken = self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |active| {
            (active < self.admitted).then_some(active + 1)
        });
        taken.ok().map(|_| self.count())
    }

    /// Counts a task that is there whatever the bound says: it was admitted earlier.
    pub(crate) fn activate(&self) -> Activity {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.count()
    }

    fn count(&self) -> Activity {
        self.metrics.active.inc();
        Activity { active: Arc::clone(&self.active), metrics: self.metrics.clone() }
    }

    /// A place and a worker for a new task, if both are free and nobody waits for them.
    pub(crate) fn try_start(&self) -> Option<(Arc<Run>, Slot)> {
        if self.waiting() > 0 || *self.paused.borrow() {
            return None;
        }
        let slot = self.slots.try_take()?;
        let run = self.ready.borrow().clone().filter(|run| !run.is_closed())?;
        Some((run, slot))
    }

    /// How many tasks wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many more tasks could be started here now.
    pub(crate) fn room(&self) -> usize {
        if *self.paused.borrow() || self.ready.borrow().as_ref().is_none_or(|run| run.is_closed()) {
            return 0;
        }
        self.slots.free.available_permits().saturating_sub(self.waiting())
    }

    /// Nothing is started until `resume`.
    pub(crate) fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.paused.send_if_modified(|paused| std::mem::replace(paused, false));
    }

    /// A place for an attempt that goes on with its client's answer: it has begun, and waits for nobody. When none is free,
    /// the next one that is given back counts as this one's.
    pub(crate) fn take_place(&self) -> Slot {
        self.slots.take_or_owe()
    }

    /// Puts a task at the end of the queue.
    pub(crate) fn enqueue(&self, key: TaskKey, owner: OwnerHandle) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((key, owner));
        self.metrics.queued.set(waiting.len() as i64);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes a task out of the queue that needs no worker any more.
    pub(crate) fn dequeue(&self, key: &TaskKey) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(queued, _)| queued != key);
        self.metrics.queued.set(waiting.len() as i64);
    }

    /// Hands tasks to the worker until `stop`.
    pub(crate) async fn dispatch(&self, stop: CancellationToken) {
        let (mut ready, mut paused) = (self.ready.clone(), self.paused.subscribe());
        loop {
            let next = async {
                // A place is taken only when somebody waits for it: until then, it is a new task's that need not wait.
                self.somebody_waits().await;
                let slot = self.slots.take().await?;
                let run = ready_run(&mut ready).await?;
                paused.wait_for(|paused| !paused).await.ok()?;
                Some((slot, run))
            };
            let (slot, run) = tokio::select! {
                () = stop.cancelled() => return,
                next = next => match next {
                    Some(next) => next,
                    None => return,
                },
            };
            // An owner that has retired meanwhile has no use for a worker.
            if let Some(owner) = self.pop() {
                let _ = owner.send(Ask::Start { run, slot }).await;
            }
        }
    }

    async fn somebody_waits(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.waiting() > 0 {
                return;
            }
            arrived.await;
        }
    }

    fn pop(&self) -> Option<OwnerHandle> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.pop_front();
        self.metrics.queued.set(waiting.len() as i64);
        next.map(|(_, owner)| owner)
    }
}

async fn ready_run(ready: &mut ReadyRun) -> Option<Arc<Run>> {
    ready.wait_for(|run| run.as_ref().is_some_and(|run| !run.is_closed())).await.ok()?.clone()
}
