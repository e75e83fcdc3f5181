//! The one thread that writes: takes what is queued, commits it with one sync, publishes it, answers.

use super::Shared;
use super::apply::{Known, Statements, Step, Stop};
use super::error::translate;
use super::options::SqliteOptions;
use crate::contract::{AppendError, LogError, NewEvent, StoredEvent};
use mesh_core::Seq;
use mesh_core::model::TaskState;
use rusqlite::{CachedStatement, Connection};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of events after which a batch takes no further append.
const BATCH_BYTES: usize = 8 << 20;
/// Pages that may wait in the write-ahead log before they are copied into the file: 4 MiB. The next batch waits for it;
/// twice as many gave a tenth more appends a second, and a p99 of 16 ms instead of 11 with 64 writers.
const CHECKPOINT_PAGES: i64 = 1000;
/// Pages in the write-ahead log (64 MiB) at which readers are waited for, shortly, so that it can begin anew.
const RESTART_PAGES: i64 = 16_384;
/// How long they are waited for.
const RESTART_PATIENCE: Duration = Duration::from_millis(50);

/// One append, and who waits for it.
pub(super) struct Job {
    pub(super) step: Step,
    /// Its share of the queue's bytes.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// Something else that has to be written: does its own transaction, and answers by itself.
pub(super) type Alone = Box<dyn FnOnce(Result<&Connection, LogError>) + Send>;

/// What the writer is asked for.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all of it is appends, and a box would cost each an allocation"
)]
pub(super) enum Work {
    /// An append.
    Append(Job),
    /// Anything else.
    Alone(Alone),
}

/// What an append is answered with.
type Outcome = Result<Seq, AppendError>;

/// The writer's side of the store.
pub(super) struct Writer<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    jobs: mpsc::Receiver<Work>,
    /// What was found behind the appends of a batch.
    behind: Option<Alone>,
    shared: Arc<Shared>,
    path: PathBuf,
    known: Known,
    batch: usize,
    /// Why nothing more is written into the file, once it is found to be damaged.
    damaged: Option<String>,
    /// Pages in the write-ahead log at which it is tried again to begin it anew.
    restart_at: i64,
    checkpoint_fails: bool,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        path: PathBuf,
        jobs: mpsc::Receiver<Work>,
        shared: Arc<Shared>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            statements: Statements::prepare(connection, options.in_row)?,
            jobs,
            behind: None,
            shared,
            path,
            known: Known::new(options.known_tasks),
            batch: options.batch.max(1),
            damaged: None,
            restart_at: RESTART_PAGES,
            checkpoint_fails: false,
        })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(work) = self.next() {
            let refusal = self
                .damaged
                .clone()
                .map(|reason| LogError::Refused { path: self.path.display().to_string(), reason });
            match (work, refusal) {
                (Work::Append(job), None) => self.write(job, self.batch),
                (Work::Alone(alone), None) => alone(Ok(self.connection)),
                (Work::Append(job), Some(why)) => {
                    self.answer(job, Err(why.into()));
                    continue;
                }
                (Work::Alone(alone), Some(why)) => {
                    alone(Err(why));
                    continue;
                }
            }
            let copied = self.checkpoint();
            // Nothing is lost: the pages stay in the write-ahead log, and the next batch tries again. Said once.
            if let Err(error) = &copied
                && !self.checkpoint_fails
            {
                tracing::warn!(store = %self.path.display(), %error, "checkpoint failed");
            }
            self.checkpoint_fails = copied.is_err();
        }
    }

    fn next(&mut self) -> Option<Work> {
        self.behind.take().map(Work::Alone).or_else(|| self.jobs.blocking_recv())
    }

    /// Writes `first` and whatever is queued behind it, up to `room` appends, in one transaction.
    fn write(&mut self, first: Job, room: usize) {
        let mut batch = vec![first];
        match self.transact(&mut batch, room) {
            Ok(outcomes) => self.publish(batch, outcomes),
            Err(error) => {
                let reason = translate(&self.path, &error);
                self.abandon(&batch, &reason);
                if batch.len() > 1 {
                    // One append shall not fail the others, so each gets a transaction of its own.
                    batch.into_iter().for_each(|job| self.write(job, 1));
                } else if let Some(job) = batch.pop() {
                    self.answer(job, Err(reason.into()));
                }
            }
        }
    }

    /// Applies the batch and lets it grow while it does: as long as appends arrive faster than they are applied, they
    /// share the sync, and one that is alone waits for nobody.
    fn transact(&mut self, batch: &mut Vec<Job>, room: usize) -> rusqlite::Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        let mut bytes = 0;
        self.statements.begin.execute(())?;
        while let Some(job) = batch.get(outcomes.len()) {
            bytes += job.bytes;
            outcomes.push(match self.statements.apply(&mut self.known, &job.step) {
                Ok(seq) => Ok(seq),
                Err(Stop::Refused(why)) => Err(why),
                Err(Stop::Broken(error)) => return Err(error),
            });
            if outcomes.len() == batch.len()
                && batch.len() < room
                && bytes < BATCH_BYTES
                && self.behind.is_none()
            {
                match self.jobs.try_recv() {
                    Ok(Work::Append(job)) => batch.push(job),
                    Ok(Work::Alone(alone)) => self.behind = Some(alone),
                    Err(_) => {}
                }
            }
        }
        {
            let mut recent = self.shared.recent();
            for (job, _) in batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
                recent.rings.expect(&job.step.append.head.key);
            }
        }
        self.statements.commit.execute(())?;
        Ok(outcomes)
    }

    /// Leaves a transaction that failed behind, with everything that was believed because of it.
    fn abandon(&mut self, batch: &[Job], reason: &LogError) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(store = %self.path.display(), %error, "rollback failed");
        }
        let mut recent = self.shared.recent();
        for key in batch.iter().map(|job| &job.step.append.head.key) {
            self.known.forget(key);
            recent.rings.settle(key);
        }
        drop(recent);
        if let LogError::Refused { reason, .. } = reason {
            tracing::error!(store = %self.path.display(), reason, "nothing more is written");
            self.damaged = Some(reason.clone());
        }
    }

    /// Shows the events to those who follow, then answers those who appended.
    fn publish(&mut self, batch: Vec<Job>, outcomes: Vec<Outcome>) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.appends.fetch_add(outcomes.iter().flatten().count() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(batch.len());
        let mut queued = false;
        {
            let mut recent = self.shared.recent();
            for (job, outcome) in batch.into_iter().zip(outcomes) {
                self.shared.queued_bytes.fetch_sub(job.bytes, Ordering::Relaxed);
                let append = job.step.append;
                if let Ok(seq) = outcome {
                    let key = &append.head.key;
                    let numbered = append.events.into_iter().zip(append.expected_seq + 1..);
                    recent.rings.push(
                        key,
                        numbered.map(|(NewEvent { public, private }, seq)| StoredEvent {
                            seq,
                            public,
                            private,
                        }),
                    );
                    recent.tails.raise(key, seq);
                    queued |= append.head.state == TaskState::Submitted;
                }
                answers.push((job.answer, outcome));
            }
        }
        if queued {
            self.shared.arrivals.send_modify(|count| *count += 1);
        }
        for (answer, outcome) in answers {
            // Who gave up waiting is not told; the append is recorded all the same.
            let _ = answer.send(outcome);
        }
    }

    fn answer(&self, job: Job, outcome: Outcome) {
        self.shared.queued_bytes.fetch_sub(job.bytes, Ordering::Relaxed);
        let _ = job.answer.send(outcome);
    }

    /// Copies the write-ahead log into the file when enough has gathered.
    ///
    /// Only this thread does so. It never waits for readers, except shortly when the log has grown far beyond its size
    /// because there was always one.
    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        let (pages, copied) = wal(self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?)?;
        if pages >= self.restart_at {
            self.connection.busy_timeout(RESTART_PATIENCE)?;
            let (left, _) = wal(self.connection.prepare_cached("PRAGMA wal_checkpoint(RESTART)")?)?;
            self.connection.busy_timeout(super::open::PATIENCE)?;
            self.restart_at = left.max(pages) + RESTART_PAGES / 4;
        } else if pages - copied >= CHECKPOINT_PAGES {
            wal(self.connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?)?;
        } else if pages < CHECKPOINT_PAGES {
            self.restart_at = RESTART_PAGES;
        }
        Ok(())
    }
}

/// Pages in the write-ahead log, and how many of them are in the file as well.
fn wal(mut checkpoint: CachedStatement<'_>) -> rusqlite::Result<(i64, i64)> {
    checkpoint.query_row((), |row| Ok((row.get(1)?, row.get(2)?)))
}
