//! The contract that every provider keeps; see [`EventLog`].

use crate::records::Records;
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::lifecycle::Control;
use mesh_core::model::TaskState;
use mesh_core::{AgentName, ContextId, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use tokio::sync::watch;

/// An event as the log keeps it. The log does not look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The `StreamResponse` JSON that subscribers get, byte for byte.
    pub public: Bytes,
    /// What is kept beside it and shown to nobody.
    pub private: Option<Bytes>,
}

/// A recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number within the task.
    pub seq: Seq,
    /// As appended.
    pub public: Bytes,
    /// As appended.
    pub private: Option<Bytes>,
}

/// The one row per task that is overwritten with every append, in the same transaction as the events.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskHead {
    /// Full name of the task.
    pub key: TaskKey,
    /// What it belongs to.
    pub context_id: ContextId,
    /// Where it is.
    pub state: TaskState,
    /// Since when.
    pub status_at: Timestamp,
    /// The number of the last event. Set by the log; ignored in an [`Append`].
    pub seq: Seq,
    /// The number of the first event that can be read: 1, or `seq` if the task was trimmed. Set by the log, like `seq`.
    pub first: Seq,
    /// What the mesh remembers of it (agent, owner, phase, attempts …).
    pub control: Control,
}

/// One atomic step of one task.
#[derive(Clone, Debug)]
pub struct Append {
    /// The number of the last event that the writer knows; 0 for a task that is to be created.
    pub expected_seq: Seq,
    /// Numbered `expected_seq + 1`, `+ 2` … May be empty when only the head changes.
    pub events: Vec<NewEvent>,
    /// The head from now on.
    pub head: TaskHead,
    /// With `expected_seq` 0: the message that creates the task. The same message of the same owner to the same agent
    /// creates no second one.
    pub creates: Option<MessageId>,
}

/// Why an append changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first.
    #[error("the task is at event {actual}, not {expected}")]
    Conflict {
        /// What the writer believed.
        expected: Seq,
        /// What is.
        actual: Seq,
    },
    /// The creating message was taken before, and made this task.
    #[error("the message has already created task {0}")]
    Duplicate(TaskId),
    /// The store failed; nothing was recorded.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No space is left, or a configured size is reached. Reading still works.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store cannot be opened: not ours, of a newer format, damaged, or in use by another process.
    #[error("{path}: {reason}")]
    Refused {
        /// Which file.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The writer's queue is full, so the caller has to wait or give up.
    #[error("the store is overloaded")]
    Overloaded,
    /// What was asked for is no longer there: the task was trimmed.
    #[error("the events before {first} were trimmed")]
    Trimmed {
        /// The number of the event that stands for all before it, too.
        first: Seq,
    },
    /// The log is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Anything else that the store says.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// How much to read at once. At least one event is returned if there is one, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Events at most.
    pub events: usize,
    /// Bytes of their public parts at most.
    pub bytes: usize,
    /// For readers who would throw them away: events whose public part begins so come with an empty one. At most
    /// [`ReadLimit::LONGEST_BEGINNING`] bytes. What a store keeps apart from its rows is then not touched.
    pub without: Option<&'static [u8]>,
}

impl ReadLimit {
    /// Bytes of `without`.
    pub const LONGEST_BEGINNING: usize = 64;

    /// So many events and bytes at most.
    pub const fn new(events: usize, bytes: usize) -> Self {
        Self { events, bytes, without: None }
    }

    /// Whether an event with this public part comes with an empty one.
    pub(crate) fn leaves_out(&self, public: &[u8]) -> bool {
        self.without.is_some_and(|beginning| public.starts_with(beginning))
    }

    /// The event as the reader gets it.
    pub(crate) fn show(&self, mut event: StoredEvent) -> StoredEvent {
        if self.leaves_out(&event.public) {
            event.public = Bytes::new();
        }
        event
    }
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self::new(512, 1 << 20)
    }
}

/// Which tasks to list. Every field narrows.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Always one tenant.
    pub tenant: Tenant,
    /// Only tasks of this owner.
    pub owner: Option<PrincipalId>,
    /// Only tasks of this agent.
    pub agent: Option<AgentName>,
    /// Only tasks of this context.
    pub context_id: Option<ContextId>,
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks whose status is at least as new.
    pub status_at_or_after: Option<Timestamp>,
    /// Where the last page ended.
    pub after: Option<PageCursor>,
    /// Heads at most.
    pub limit: usize,
}

/// A position in a listing: newest status first, then the greater id first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// Status time of the last head of the page.
    pub status_at: Timestamp,
    /// Its id.
    pub task: TaskId,
}

impl PageCursor {
    /// The position of a head.
    pub fn at(head: &TaskHead) -> Self {
        Self { status_at: head.status_at, task: head.key.task.clone() }
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest status first.
    pub heads: Vec<TaskHead>,
    /// How many tasks match the query without `after` and `limit`.
    pub total: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageCursor>,
}

/// Which ended tasks of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Those that have more than one event, after a position in the order of [`EventLog::ended`].
    Whole {
        /// When the last one that was seen ended, and its key.
        after: Option<(Timestamp, TaskKey)>,
    },
    /// All but so many that ended last.
    Beyond {
        /// How many.
        keep: u64,
    },
}

/// One ended task, and what is to be left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Which.
    pub key: TaskKey,
    /// The number of its last event.
    pub seq: Seq,
    /// One event instead of all, with the number of the last of them: what [`NewEvent::public`] would be. None: nothing is
    /// left, neither events nor head, and its message is forgotten.
    pub snapshot: Option<Bytes>,
}

/// How much an agent has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Tasks that wait for a worker.
    pub queued: u64,
    /// Since when the oldest of them waits.
    pub oldest_queued: Option<Timestamp>,
    /// Tasks at work.
    pub working: u64,
    /// Tasks that wait for their client.
    pub waiting: u64,
}

/// The durable log of every task's events.
///
/// ```text
///   owner ── append(expected_seq, events, head) ──▶ [ one writer, one fsync for many appends ]
///                                                        │ only now: answer the owner, move the tail
///   subscriber ── read(key, after) ◀── events ───────────┤
///              └─ tail(key) ◀── "there is an event n" ───┘
/// ```
///
/// Every provider promises:
///
/// 1. **Order.** A task's events are numbered 1, 2, 3 … without gap or repeat, except that a trimmed task has one event,
///    its snapshot, with the number of the last event that it stands for. Of two appends with the same `expected_seq` at
///    most one succeeds; the other gets [`AppendError::Conflict`] and changes nothing.
/// 2. **Atomicity.** The events and the head of an append are visible together or not at all, also after a crash.
/// 3. **Durability.** When `append` returns `Ok`, the events are on disk (fsync) in the durability level `full`.
/// 4. **Read what is acknowledged.** After `append` returned, every `read` sees its events; and no reader sees an event
///    that a crash could take back.
/// 5. **Tail.** `tail(key)` shows the number of the last visible event and changes when it grows. It never runs ahead
///    of `read`. Values may be skipped; a subscriber reads from its own position whenever the tail is beyond it, so a
///    slow one costs nothing that grows with its lag.
/// 6. **Tenants.** A key of another tenant finds nothing.
/// 7. **Idempotence.** A creating append with a message id that the same (tenant, owner, agent) has used is answered
///    with [`AppendError::Duplicate`] and the first task's id.
/// 8. **Queue.** `queue(agent)` and `pressure(agent)` tell of every acknowledged append, whichever process made it, and
///    `arrivals` moves after any append that leaves a task queued.
/// 9. **Errors change nothing.** After an error, also [`LogError::Full`], the log is as before and keeps serving reads;
///    appends work again once the cause is gone.
/// 10. **Trimming.** A task is trimmed or removed in one step, also over a crash: nobody reads a part of it. Where events are
///     gone, `read` says so ([`LogError::Trimmed`]) and never skips. A trimmed task takes no more events. A removed one is as
///     one that never was: its key and its message can be used again.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Records one step of one task. Returns the number of its last event.
    async fn append(&self, append: Append) -> Result<Seq, AppendError>;

    /// The events after `after`, in order; empty at the tail, or when there is no such task. Of a trimmed task only its
    /// snapshot can be read, with `after` right before it; less is answered with [`LogError::Trimmed`].
    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError>;

    /// The head of a task, if it exists.
    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError>;

    /// One page of heads.
    async fn list(&self, query: ListQuery) -> Result<Page, LogError>;

    /// The heads of all tasks of an agent, of every tenant, that have not ended: what a restart has to look at.
    /// At most `limit`, oldest first, after the given key in that order.
    async fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError>;

    /// The task that the message created, if it did: the same answer that [`AppendError::Duplicate`] would give.
    async fn created_by(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        agent: &AgentName,
        message: &MessageId,
    ) -> Result<Option<TaskId>, LogError>;

    /// Follows the number of a task's last event. Holding the receiver keeps a small entry in memory; dropping it frees it.
    /// The value is 0 when there is no such task, and stays when the task is removed.
    async fn tail(&self, key: &TaskKey) -> Result<watch::Receiver<Seq>, LogError>;

    /// The queued tasks of an agent, of every tenant: those that have waited longest first, at most `limit`.
    async fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError>;

    /// How much an agent has to do now.
    async fn pressure(&self, agent: &AgentName) -> Result<Pressure, LogError>;

    /// The heads of tasks of an agent, of every tenant, that ended before a time: those that ended first come first, then the
    /// lesser task and tenant; at most `limit`.
    async fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError>;

    /// Trims and removes tasks, each in one step of its own or several in one. Returns those that it changed: one that has
    /// not ended, is not at `seq`, or is trimmed already is left as it is, and so is one whose snapshot is larger than what
    /// the store takes. After an error, some may have been changed.
    async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError>;

    /// One bounded step of giving back the room of what was trimmed and removed. `true`: there is more to do.
    async fn reclaim(&self) -> Result<bool, LogError>;

    /// Moves when a task comes into a queue. What the value says has no meaning.
    fn arrivals(&self) -> watch::Receiver<u64>;

    /// Whether other processes may write to this log at the same time.
    fn is_shared(&self) -> bool;

    /// The small records beside the tasks.
    fn records(&self) -> &dyn Records;

    /// Ends: what was accepted is written first. Later calls fail with [`LogError::Closed`].
    async fn close(&self);
}
