//! What is kept of ended tasks, and for how long (`tasks.retention`).
//!
//! ```text
//!   every minute, one host of the agent:
//!     ended longer ago than `age`, or not among the newest `count` ──▶ its records, then the task itself, are deleted,
//!                                                                     with its context's memory if it was the last there
//!     ended longer ago than `events` ─────────────────────────────────▶ its events are replaced by the task as it is
//!     what that leaves behind ────────────────────────────────────────▶ the store gives room back, step by step
//! ```
//!
//! Nothing here needs to be remembered: what is to be done is found in the log, and each step is complete in itself. That one
//! host does it is for economy; if two did, the log would let one of them.

use crate::context::{ContextKey, Contexts};
use crate::metrics::AgentMetrics;
use crate::owner::{Detail, OwnerError, Owners};
use crate::push::Push;
use crate::settings::HostSettings;
use bytes::Bytes;
use mesh_core::event::TaskEvent;
use mesh_core::{Clock, HostId, TaskKey, Timestamp};
use mesh_log::{Ended, EventLog, Expect, LogError, PutError, RecordKey, Space, TaskHead, Trim};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often it is looked for something to do, more or less: so that hosts do not do it in step.
const EVERY: Duration = Duration::from_secs(60);
/// After so many looks (about an hour), tasks that could not be trimmed are tried again.
const ROUNDS: u32 = 60;
/// Tasks in one step, and bytes of their snapshots; one task may have more.
const STEP: usize = 64;
const STEP_BYTES: usize = 4 << 20;
/// Between two steps, others have the store.
const PAUSE: Duration = Duration::from_millis(20);

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tasks whose events were replaced by a snapshot.
    pub trimmed: usize,
    /// Tasks that were deleted.
    pub deleted: usize,
}

/// Keeps what is to be kept of one agent's ended tasks.
pub(crate) struct Retention {
    pub(crate) host: HostId,
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) owners: Owners,
    pub(crate) push: Arc<Push>,
    pub(crate) contexts: Arc<Contexts>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: AgentMetrics,
    pub(crate) stop: CancellationToken,
}

/// What is known from one sweep to the next.
#[derive(Default)]
struct Progress {
    /// Where trimming goes on: everything before was trimmed, or could not be.
    position: Option<(Timestamp, TaskKey)>,
    rounds: u32,
    /// The version of the record by which hosts agree on who sweeps.
    turn: u64,
}

impl Retention {
    /// Sweeps until the host stops.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut progress = Progress::default();
        loop {
            let swept = tokio::select! {
                () = self.stop.cancelled() => return,
                swept = self.take_turn(&mut progress) => swept,
            };
            match swept {
                Ok(Swept { trimmed: 0, deleted: 0 }) => {}
                Ok(Swept { trimmed, deleted }) => {
                    tracing::info!(agent = %self.settings.name, trimmed, deleted, "ended tasks were trimmed or deleted");
                }
                Err(LogError::Closed) => return,
                Err(error) => {
                    tracing::warn!(agent = %self.settings.name, %error, "ended tasks are kept longer than configured");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(EVERY.mul_f64(0.5 + fastrand::f64())) => {}
            }
        }
    }

    /// Sweeps, unless another host has begun to since the last look.
    async fn take_turn(&self, progress: &mut Progress) -> Result<Swept, LogError> {
        if self.log.is_shared() {
            let found = self.log.records().get(&self.turn()).await?.map_or(0, |record| record.version);
            if found != progress.turn {
                progress.turn = found;
                return Ok(Swept::default());
            }
            if !self.renew(progress).await? {
                return Ok(Swept::default());
            }
        }
        self.sweep_on(progress).await
    }

    /// The record that says whose turn it is. Its name is not one of a host.
    fn turn(&self) -> RecordKey {
        RecordKey::new(
            Space::Hosts,
            self.settings.caller.tenant.clone(),
            format!("{}#retention", self.settings.name),
        )
    }

    /// Says that this host sweeps. `false`: another one does.
    async fn renew(&self, progress: &mut Progress) -> Result<bool, LogError> {
        if !self.log.is_shared() {
            return Ok(true);
        }
        let expect = if progress.turn == 0 { Expect::Nothing } else { Expect::Version(progress.turn) };
        let value = Bytes::from(self.host.to_string());
        match self.log.records().put(&self.turn(), value, expect).await {
            Ok(version) => {
                progress.turn = version;
                Ok(true)
            }
            Err(PutError::Log(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// One whole sweep, whoever else sweeps.
    pub(crate) async fn sweep(&self) -> Result<Swept, LogError> {
        let mut progress = Progress::default();
        if self.log.is_shared() {
            progress.turn = self.log.records().get(&self.turn()).await?.map_or(0, |record| record.version);
        }
        self.sweep_on(&mut progress).await
    }

    async fn sweep_on(&self, progress: &mut Progress) -> Result<Swept, LogError> {
        let now = self.clock.now();
        let tasks = &self.settings.agent.tasks;
        let forgettable = before(now, tasks.remember_messages);
        let mut swept = Swept::default();
        if let Some(age) = tasks.retention.age {
            swept.deleted += self.delete(forgettable.min(before(now, age)), 0, progress).await?;
        }
        if let Some(count) = tasks.retention.count {
            swept.deleted += self.delete(forgettable, count, progress).await?;
        }
        if let Some(events) = tasks.retention.events {
            progress.rounds += 1;
            if progress.rounds > ROUNDS {
                (progress.rounds, progress.position) = (0, None);
            }
            swept.trimmed = self.trim(before(now, events), progress).await?;
        }
        while self.log.reclaim().await? {
            sleep(PAUSE).await;
        }
        Ok(swept)
    }

    /// Deletes tasks that ended before a time, all but the newest `keep` of the agent.
    async fn delete(&self, before: Timestamp, keep: u64, progress: &mut Progress) -> Result<usize, LogError> {
        let mut deleted = 0;
        loop {
            let which = Ended::Beyond { keep };
            let heads = self.log.ended(&self.settings.name, before, which, STEP).await?;
            if heads.is_empty() {
                return Ok(deleted);
            }
            for head in &heads {
                // First: what belongs to a task that is gone would not be found again.
                self.push.forget(&head.key).await?;
            }
            let contexts: HashSet<ContextKey> = heads.iter().map(context_of).collect();
            let tasks =
                heads.into_iter().map(|head| Trim { key: head.key, seq: head.seq, snapshot: None }).collect();
            let gone = self.log.trim(tasks).await?.len();
            for context in &contexts {
                self.contexts.forget_if_unused(context).await?;
            }
            self.metrics.deleted.inc_by(gone as u64);
            deleted += gone;
            // If none has gone, somebody else is at it.
            if gone == 0 || !self.renew(progress).await? {
                return Ok(deleted);
            }
            sleep(PAUSE).await;
        }
    }

    /// Replaces the events of tasks that ended before a time by the tasks as they are.
    async fn trim(&self, before: Timestamp, progress: &mut Progress) -> Result<usize, LogError> {
        let mut trimmed = 0;
        loop {
            let which = Ended::Whole { after: progress.position.clone() };
            let heads = self.log.ended(&self.settings.name, before, which, STEP).await?;
            let Some(last) = heads.last() else { return Ok(trimmed) };
            // Before it is tried: a task that cannot be trimmed must not be in the way of the others.
            progress.position = Some((last.status_at, last.key.clone()));
            let (mut step, mut bytes) = (Vec::new(), 0);
            for head in heads {
                let Some((task, size)) = self.snapshot(head).await? else { continue };
                step.push(task);
                bytes += size;
                if bytes >= STEP_BYTES {
                    trimmed += self.trim_step(std::mem::take(&mut step)).await?;
                    bytes = 0;
                }
            }
            trimmed += self.trim_step(step).await?;
            if !self.renew(progress).await? {
                return Ok(trimmed);
            }
            sleep(PAUSE).await;
        }
    }

    async fn trim_step(&self, tasks: Vec<Trim>) -> Result<usize, LogError> {
        if tasks.is_empty() {
            return Ok(0);
        }
        let count = self.log.trim(tasks).await?.len();
        self.metrics.trimmed.inc_by(count as u64);
        Ok(count)
    }

    /// A task as it is, to be put in the place of its events, and its size. None if there is no such task any more, or it
    /// cannot be read.
    async fn snapshot(&self, head: TaskHead) -> Result<Option<(Trim, usize)>, LogError> {
        let task = match self.owners.snapshot(&head.key, Detail::Whole).await {
            Ok(snapshot) if snapshot.seq == head.seq => snapshot.task,
            Ok(_) | Err(OwnerError::NotFound) => return Ok(None),
            Err(OwnerError::Closed) => return Err(LogError::Closed),
            Err(error) => {
                tracing::error!(task = %head.key, %error, "a task cannot be trimmed");
                return Ok(None);
            }
        };
        let (id, context) = (task.id.clone(), task.context_id.clone());
        let snapshot = Bytes::from(TaskEvent::Created(Box::new(task)).encode(&id, &context));
        let bytes = snapshot.len();
        Ok(Some((Trim { key: head.key, seq: head.seq, snapshot: Some(snapshot) }, bytes)))
    }
}

/// The time so long ago.
fn before(now: Timestamp, ago: Duration) -> Timestamp {
    Timestamp(now.millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
}

/// The context that a task is in.
fn context_of(head: &TaskHead) -> ContextKey {
    ContextKey::new(head.key.tenant.clone(), head.control.owner.id.clone(), head.context_id.clone())
}
