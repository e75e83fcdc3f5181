//! Subscriptions: reading a task's log from a number, then waiting for its tail. A new subscriber, one that comes back,
//! and one that is slow are the same code; what a subscriber has not taken yet stays in the log.

use crate::metrics::AgentMetrics;
use crate::service::log_error;
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{A2aError, Seq, TaskKey};
use mesh_log::{EventLog, LogError, ReadLimit, StoredEvent};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// When a stream has said everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndsAt {
    /// At a final state.
    Terminal,
    /// Also when the task waits for the client's input: the answer to one message is complete then.
    Interrupted,
}

/// One subscriber of one task.
pub(crate) struct Subscription {
    log: Arc<dyn EventLog>,
    key: TaskKey,
    after: Seq,
    tail: watch::Receiver<Seq>,
    first: Option<StoredEvent>,
    ends_at: EndsAt,
    /// The stream ends after what is known already.
    ended: bool,
    closing: CancellationToken,
    _place: Place,
}

impl Subscription {
    /// The next events, as many as one read gives; `None` at the end. Dropping the future loses nothing. A subscriber whose
    /// next events are gone is told so: nothing is ever left out.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, A2aError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(vec![first]));
        }
        loop {
            if self.ended {
                return Ok(None);
            }
            // Looked at before reading: what was recorded until the end is still sent.
            let closing = self.closing.is_cancelled();
            let read = self.log.read(&self.key, self.after, ReadLimit::default()).await;
            let mut events = read.map_err(|error| log_error(&error))?;
            if let Some(snapshot) = events.first().filter(|event| is_snapshot(event)) {
                return Err(A2aError::events_trimmed(snapshot.seq));
            }
            if events.is_empty() && *self.tail.borrow() > self.after {
                self.check_there().await?;
            }
            if let Some(at) = events.iter().position(|event| self.is_last(event)) {
                events.truncate(at + 1);
                self.ended = true;
            }
            if let Some(last) = events.last() {
                self.after = last.seq;
                return Ok(Some(events));
            }
            if closing {
                return Ok(None);
            }
            tokio::select! {
                changed = self.tail.wait_for(|tail| *tail > self.after) => if changed.is_err() {
                    return Ok(None);
                },
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// An error if the task was removed while it was read.
    async fn check_there(&self) -> Result<(), A2aError> {
        let head = self.log.head(&self.key).await.map_err(|error| log_error(&error))?;
        head.map(|_| ()).ok_or_else(|| A2aError::task_not_found(self.key.task.as_str()))
    }

    /// Looks into status updates only: nothing else ends a stream.
    fn is_last(&self, event: &StoredEvent) -> bool {
        state_after(&event.public).is_some_and(|state| {
            state.is_terminal() || (self.ends_at == EndsAt::Interrupted && state == TaskState::InputRequired)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusPeek {
    status_update: UpdatePeek,
}

#[derive(Deserialize)]
struct UpdatePeek {
    status: StatePeek,
}

#[derive(Deserialize)]
struct StatePeek {
    state: TaskState,
}

/// The creation of a task is its first event; later, a whole task stands for events that were trimmed.
fn is_snapshot(event: &StoredEvent) -> bool {
    event.seq > 1 && event.public.starts_with(b"{\"task\"")
}

fn state_after(public: &Bytes) -> Option<TaskState> {
    if !public.starts_with(b"{\"statusUpdate\"") {
        return None;
    }
    serde_json::from_slice::<StatusPeek>(public).ok().map(|peek| peek.status_update.status.state)
}

/// The subscribers of one agent, counted.
pub(crate) struct Subscribers {
    log: Arc<dyn EventLog>,
    counts: Arc<Mutex<HashMap<TaskKey, usize>>>,
    per_task: usize,
    metrics: AgentMetrics,
    closing: CancellationToken,
}

/// Why a subscription was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// The bound on subscribers of one task is reached.
    #[error("the task has {0} subscribers already (limits.streams_per_task)")]
    TooMany(usize),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Subscribers {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        per_task: usize,
        metrics: AgentMetrics,
        closing: CancellationToken,
    ) -> Self {
        Self { log, counts: Arc::default(), per_task, metrics, closing }
    }

    /// Subscribes to what comes after event `after`. `first` is sent before anything else: a snapshot as of `after`.
    /// `ended`: the task has ended at `after`, nothing can follow.
    pub(crate) async fn open(
        &self,
        key: &TaskKey,
        after: Seq,
        first: Option<Bytes>,
        ends_at: EndsAt,
        ended: bool,
    ) -> Result<Subscription, SubscribeError> {
        let place = self.take_place(key)?;
        let tail = self.log.tail(key).await?;
        Ok(Subscription {
            log: Arc::clone(&self.log),
            key: key.clone(),
            after,
            tail,
            first: first.map(|public| StoredEvent { seq: after, public, private: None }),
            ends_at,
            ended,
            closing: self.closing.clone(),
            _place: place,
        })
    }

    fn take_place(&self, key: &TaskKey) -> Result<Place, SubscribeError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= self.per_task {
            return Err(SubscribeError::TooMany(self.per_task));
        }
        *count += 1;
        self.metrics.subscribers.inc();
        Ok(Place { counts: Arc::clone(&self.counts), key: key.clone(), metrics: self.metrics.clone() })
    }
}

/// A place among a task's subscribers; given back when dropped.
struct Place {
    counts: Arc<Mutex<HashMap<TaskKey, usize>>>,
    key: TaskKey,
    metrics: AgentMetrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.subscribers.dec();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
