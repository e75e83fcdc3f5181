//! The provider in one SQLite file.
//!
//! ```text
//!  append ──▶ bounded queue ──▶ writer thread ── BEGIN … COMMIT (one sync for all that is queued)
//!                                   │  then, under one lock:
//!                                   ├─▶ rings: recent events ──┐
//!                                   ├─▶ tails: watch channels  ├──▶ read: the ring, else a read connection
//!                                   └─▶ answers                ┘
//! ```
//!
//! SQLite publishes a commit to other connections after its sync (write-ahead log, `synchronous=full`), and the rings
//! and tails are touched after the commit: nobody sees an event that a crash could take back.

mod apply;
mod error;
mod migrate;
mod open;
mod options;
mod query;
mod readers;
mod records;
mod store;
mod trim;
mod writer;

pub use options::{Durability, SqliteOptions};
pub use store::{Attendant, Backup, Progress, RecordCheck, Restored, StoreFile};

use crate::contract::{
    Append, AppendError, Ended, EventLog, ListQuery, LogError, Page, Pressure, ReadLimit, StoredEvent,
    TaskHead, Trim,
};
use crate::records::{Records, Space};
use crate::rings::Rings;
use crate::tails::Tails;
use apply::Step;
use async_trait::async_trait;
use error::translate;
use mesh_core::{AgentName, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use open::Opened;
use readers::Readers;
use records::SqliteRecords;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Alone, Job, Work, Writer};

/// What an append costs in the queue beside its events and its control record; rounded up.
const APPEND_OVERHEAD: usize = 1024;

/// The durable log of one machine.
///
/// Everything is in the file at `path`, with SQLite's `-wal` and `-shm` beside it and a `.lock` that is held while the
/// store is open. To back it up while it runs, use [`StoreFile::backup`], not a copy of the file.
///
/// A task's context, owner and agent are those that it was created with; later heads need not repeat them and cannot
/// change them for [`list`](EventLog::list) and [`unfinished`](EventLog::unfinished).
///
/// An append that was taken into the queue is recorded even if its future is dropped before it is answered.
/// Dropping the log without [`close`](EventLog::close) also writes what was accepted, and blocks until that is done.
pub struct SqliteLog {
    path: PathBuf,
    queue: Arc<Mutex<Option<mpsc::Sender<Work>>>>,
    queue_bytes: usize,
    in_row: usize,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    /// Ends when the writer has.
    ended: watch::Receiver<()>,
    writer: Option<JoinHandle<()>>,
    records: SqliteRecords,
}

/// What the callers and the writer share.
struct Shared {
    recent: Mutex<Recent>,
    arrivals: watch::Sender<u64>,
    /// Counts the changes of each space's records.
    changes: [watch::Sender<u64>; Space::ALL.len()],
    queued_bytes: AtomicUsize,
    appends: AtomicU64,
    commits: AtomicU64,
}

/// What is in memory of the newest events; changed after each commit.
struct Recent {
    rings: Rings,
    tails: Tails,
    closed: bool,
}

/// What a [`SqliteLog`] holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tasks with events in the tail cache.
    pub cached_tasks: usize,
    /// Events in the tail cache.
    pub cached_events: usize,
    /// Bytes in the tail cache, its own records included; never more than `tail_cache.total_bytes`.
    pub cached_bytes: usize,
    /// Followed tasks, and some that are followed no more.
    pub tails: usize,
    /// Bytes that wait for the writer.
    pub queued_bytes: usize,
    /// Appends recorded since the log was opened.
    pub appends: u64,
    /// Commits that recorded them.
    pub commits: u64,
    /// Queries that went to the file, because memory had no answer.
    pub disk_reads: u64,
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteLog {
    /// Opens the store, or creates it. Blocks for as long as the disk needs; meant for start-up.
    ///
    /// # Errors
    /// [`LogError::Refused`] if the file is not ours, damaged, of a newer format, or in use by another process;
    /// [`LogError::Full`] and [`LogError::Failed`] as the system says.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, LogError> {
        let Opened { writer, readers, lock } = open::open(path, &options)?;
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let recent = Recent { rings: Rings::new(options.tail_cache), tails: Tails::default(), closed: false };
        let shared = Arc::new(Shared {
            recent: Mutex::new(recent),
            arrivals: watch::channel(0).0,
            changes: std::array::from_fn(|_| watch::channel(0).0),
            queued_bytes: AtomicUsize::new(0),
            appends: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        });
        let (alive, ended) = watch::channel(());
        let (queue_bytes, in_row, path) = (options.queue_bytes, options.in_row, path.to_owned());
        let thread = {
            let (path, shared) = (path.clone(), Arc::clone(&shared));
            move || {
                run_writer(&writer, path, jobs, shared, &options);
                close_store(writer, lock);
                drop(alive);
            }
        };
        let writer = thread::Builder::new()
            .name("mesh-log-writer".to_owned())
            .spawn(thread)
            .map_err(|error| LogError::Failed(format!("no thread for the writer: {error}")))?;
        let readers = Arc::new(Readers::new(path.clone(), readers));
        let queue = Arc::new(Mutex::new(Some(queue)));
        let records = SqliteRecords {
            path: path.clone(),
            queue: Arc::clone(&queue),
            shared: Arc::clone(&shared),
            readers: Arc::clone(&readers),
        };
        Ok(Self { path, queue, queue_bytes, in_row, shared, readers, ended, writer: Some(writer), records })
    }

    /// What it holds and has done so far.
    pub fn usage(&self) -> Usage {
        let recent = self.shared.recent();
        let (cached_tasks, cached_events, cached_bytes) = recent.rings.size();
        Usage {
            cached_tasks,
            cached_events,
            cached_bytes,
            tails: recent.tails.len(),
            queued_bytes: self.shared.queued_bytes.load(Ordering::Relaxed),
            appends: self.shared.appends.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
            disk_reads: self.readers.queries(),
        }
    }

    /// Puts an append into the queue.
    fn enqueue(&self, step: Step) -> Result<oneshot::Receiver<Result<Seq, AppendError>>, LogError> {
        let queue =
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(LogError::Closed)?;
        let bytes = APPEND_OVERHEAD + step.bytes();
        let queued = &self.shared.queued_bytes;
        // One append is always let in, whatever its size.
        if queued.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.queue_bytes.max(bytes) {
            queued.fetch_sub(bytes, Ordering::Relaxed);
            return Err(LogError::Overloaded);
        }
        let (answer, outcome) = oneshot::channel();
        queue.try_send(Work::Append(Job { step, bytes, answer })).map_err(|refused| {
            queued.fetch_sub(bytes, Ordering::Relaxed);
            match refused {
                mpsc::error::TrySendError::Full(_) => LogError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => self.writer_gone(),
            }
        })?;
        Ok(outcome)
    }

    /// Does something on the writer's thread, between two batches of appends.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(LogError::Closed)?;
        let (answer, outcome) = oneshot::channel();
        let path = self.path.clone();
        let work: Alone = Box::new(move |connection| {
            let done = connection.and_then(|open| work(open).map_err(|error| translate(&path, &error)));
            // Who gave up waiting is not told; it is done all the same.
            let _ = answer.send(done);
        });
        queue.try_send(Work::Alone(work)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => LogError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => self.writer_gone(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(self.writer_gone()))
    }

    fn recent(&self) -> Result<MutexGuard<'_, Recent>, LogError> {
        let recent = self.shared.recent();
        if recent.closed { Err(LogError::Closed) } else { Ok(recent) }
    }

    fn writer_gone(&self) -> LogError {
        LogError::Failed(format!("{}: the writer has stopped; restart the process", self.path.display()))
    }

    /// Lets nothing more in. The writer ends when it has written what is queued.
    fn stop(&self) {
        self.shared.recent().closed = true;
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn run_writer(
    connection: &rusqlite::Connection,
    path: PathBuf,
    jobs: mpsc::Receiver<Work>,
    shared: Arc<Shared>,
    options: &SqliteOptions,
) {
    match Writer::new(connection, path.clone(), jobs, shared, options) {
        Ok(writer) => writer.run(),
        Err(error) => tracing::error!("the writer cannot start: {}", translate(&path, &error)),
    }
}

/// Closes the file, then lets the next one in.
fn close_store(writer: rusqlite::Connection, lock: File) {
    drop(writer);
    // Said and not only closed: a child process that is being started at this moment holds a copy until it has begun.
    if let Err(error) = lock.unlock() {
        tracing::debug!(%error, "the lock of the store is given back with its file");
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let outcome = self.enqueue(Step::new(append)?)?;
        outcome.await.unwrap_or_else(|_| Err(self.writer_gone().into()))
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        if let Some(events) = self.recent()?.rings.read(key, after, limit) {
            return Ok(events);
        }
        let key = key.clone();
        let found = self.readers.run(move |connection| query::read(connection, &key, after, limit)).await?;
        found.map_err(|first| LogError::Trimmed { first })
    }

    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError> {
        let key = key.clone();
        self.readers.run(move |connection| query::head(connection, &key)).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page, LogError> {
        self.readers.run(move |connection| query::list(connection, &query)).await
    }

    async fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let (agent, after) = (agent.clone(), after.cloned());
        self.readers.run(move |connection| query::unfinished(connection, &agent, after.as_ref(), limit)).await
    }

    async fn created_by(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        agent: &AgentName,
        message: &MessageId,
    ) -> Result<Option<TaskId>, LogError> {
        let (tenant, owner, agent, message) = (tenant.clone(), owner.clone(), agent.clone(), message.clone());
        self.readers
            .run(move |connection| query::created_by(connection, &tenant, &owner, &agent, &message))
            .await
    }

    async fn tail(&self, key: &TaskKey) -> Result<watch::Receiver<Seq>, LogError> {
        // Following begins before looking, so that no append falls between the two.
        let (mut receiver, known) = {
            let mut recent = self.recent()?;
            (recent.tails.follow(key), recent.rings.last(key))
        };
        let seq = match known {
            Some(seq) => seq,
            None => {
                let key = key.clone();
                self.readers.run(move |connection| query::last(connection, &key)).await?
            }
        };
        self.recent()?.tails.raise(key, seq);
        receiver.mark_unchanged();
        Ok(receiver)
    }

    async fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError> {
        let agent = agent.clone();
        self.readers.run(move |connection| query::queue(connection, &agent, limit)).await
    }

    async fn pressure(&self, agent: &AgentName) -> Result<Pressure, LogError> {
        let agent = agent.clone();
        self.readers.run(move |connection| query::pressure(connection, &agent)).await
    }

    async fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let agent = agent.clone();
        self.readers.run(move |connection| query::ended(connection, &agent, before, &which, limit)).await
    }

    async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError> {
        let (shared, in_row) = (Arc::clone(&self.shared), self.in_row);
        self.alone(move |connection| {
            trim::trim(connection, &tasks, in_row, |changed| {
                let mut recent = shared.recent();
                changed.iter().for_each(|key| recent.rings.forget(key));
            })
        })
        .await
    }

    async fn reclaim(&self) -> Result<bool, LogError> {
        self.alone(trim::reclaim).await
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn records(&self) -> &dyn Records {
        &self.records
    }

    async fn close(&self) {
        // Nothing more is let in. What is read is read to its end; only then may the writer end, so that it is the last to
        // have the file open, and tidies it up.
        self.shared.recent().closed = true;
        self.readers.close().await;
        self.stop();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
        self.shared.recent().tails.clear();
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.readers.close_idle();
        self.stop();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(store = %self.path.display(), "the writer panicked");
        }
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog")
            .field("path", &self.path)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
