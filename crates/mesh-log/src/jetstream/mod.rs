//! The provider in a stream of NATS JetStream, shared by any number of processes.
//!
//! ```text
//!  append ──▶ publish, expecting the task's last message ──▶ stream ──▶ the one consumer of each process
//!                 │ acknowledged                               │             │
//!                 ├────────────▶ index of heads ◀──────────────│─────────────┤
//!                 ├────────────▶ rings: recent events ◀────────│─────────────┤
//!                 └────────────▶ tails: watch channels ◀───────│─────────────┘
//!                                                              │
//!  read ──▶ the ring, else the stream ◀────────────────────────┘
//! ```
//!
//! One append is one message: its events and its head are recorded together. The server takes it only if the task's
//! last message is the one that the writer knew, so of two writers one is refused. What created a task is a part of its
//! subject, and the server takes the first message only if nothing else has that origin: a message creates one task, and
//! there are no half-made ones.

mod examine;
mod fetch;
mod follow;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod index;
mod link;
mod names;
mod options;
mod publish;
mod records;
mod trim;

pub use options::JetStreamOptions;

use crate::contract::{
    Append, AppendError, Ended, EventLog, ListQuery, LogError, NewEvent, Page, Pressure, ReadLimit,
    StoredEvent, TaskHead, Trim,
};
use crate::records::Records;
use crate::rings::Rings;
use crate::tails::Tails;
use async_trait::async_trait;
use frame::{Frame, Kind};
use hashlink::LruCache;
use index::{Index, Noted};
use link::Link;
use mesh_core::model::TaskState;
use mesh_core::{AgentName, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use records::Bucket;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

/// What an append costs while it is under way beside its events; rounded up.
const APPEND_OVERHEAD: usize = 4096;

/// The durable log of any number of machines: one stream in NATS JetStream.
///
/// How the server is to be set up, and what is stored under which name, is written in `docs/jetstream.md`. An
/// acknowledged append is as durable as the server makes it: with `sync_interval: always`, or on a quorum of replicas.
///
/// An append whose answer is lost is repeated until it is known what became of it, within `timeout`. If that is not
/// enough, it fails, and may be found recorded later: the next append to the task then gets a conflict, and its owner
/// has to read the task again.
pub struct JetStreamLog {
    shared: Arc<Shared>,
    in_flight: usize,
    in_flight_bytes: usize,
    follower: JoinHandle<()>,
    records: Bucket,
}

/// What the callers and the consumer share.
struct Shared {
    link: Arc<Link>,
    index: RwLock<Index>,
    recent: Mutex<Recent>,
    /// Up to which message of the stream the consumer has brought everything.
    position: watch::Sender<u64>,
    /// Counts the messages that left a task queued.
    arrivals: watch::Sender<u64>,
    /// Tells the consumer to begin anew.
    impatient: Notify,
    /// One permit per append under way.
    appends: Semaphore,
    appending_bytes: AtomicUsize,
    max_tasks: usize,
    closed: AtomicBool,
}

/// What is in memory of the newest events.
struct Recent {
    rings: Rings,
    tails: Tails,
    /// Where a reader who has come to an event goes on.
    positions: LruCache<(TaskKey, Seq), u64>,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::Acquire) { Err(LogError::Closed) } else { Ok(()) }
    }

    /// Takes in a recorded message; one that is known already changes nothing.
    fn absorb(&self, origin: &str, frame: &Frame, message: u64) -> Result<(), LogError> {
        if frame.kind == Kind::Removed {
            self.absorb_removal(&frame.key()?, origin, message);
            return Ok(());
        }
        let head = frame.head()?;
        let key = head.key.clone();
        let queued = head.state == TaskState::Submitted;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let noted = index.note(head, origin, frame, message);
        drop(index);
        if noted == Noted::Foreign {
            tracing::error!(task = %key, message, "two tasks of the same name were created; this one is ignored");
            return Ok(());
        }
        let mut recent = self.recent();
        match (noted, frame.kind) {
            (Noted::New, Kind::Append) => recent.rings.offer(&key, &frame.own_events()),
            (Noted::New, _) => recent.rings.forget(&key),
            _ => {}
        }
        // Also if it is known: who knows it may not have come to the tails yet, and the writer's append is over.
        recent.tails.raise(&key, frame.last());
        drop(recent);
        if queued && noted == Noted::New {
            self.arrivals.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn absorb_removal(&self, key: &TaskKey, origin: &str, message: u64) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).remove(key, origin, message);
        self.recent().rings.forget(key);
    }

    /// What a task was created by, if there is such a task, whoever created it.
    async fn origin(&self, key: &TaskKey) -> Result<Option<Box<str>>, LogError> {
        let known = self.index().origin(key);
        if known.is_some() {
            return Ok(known);
        }
        // Another process may have created it just now.
        follow::catch_up(self, self.link.timeout).await?;
        Ok(self.index().origin(key))
    }

    /// The last frame of a task, if there is such a task.
    async fn last(&self, key: &TaskKey) -> Result<Option<Frame>, LogError> {
        let Some(origin) = self.origin(key).await? else { return Ok(None) };
        let Some((message, frame)) = self.link.last_frame(&self.link.names.task(key, &origin)).await? else {
            return Ok(None);
        };
        if frame.kind != Kind::Append {
            // Whoever sees such a head must not be given the events of before.
            self.absorb(&origin, &frame, message)?;
        }
        Ok(Some(frame).filter(|frame| frame.kind != Kind::Removed))
    }

    /// The consumer has brought everything up to this message.
    fn reached(&self, message: u64) {
        self.position.send_if_modified(|position| {
            let grows = message > *position;
            *position = message.max(*position);
            grows
        });
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        let known = {
            let mut recent = self.recent();
            // An empty ring proves nothing: another process may have appended.
            match recent.rings.read(key, after, limit) {
                Some(events) if !events.is_empty() => return Ok(events),
                _ => recent.positions.get(&(key.clone(), after)).copied(),
            }
        };
        let Some(origin) = self.origin(key).await? else { return Ok(Vec::new()) };
        let subject = self.link.names.task(key, &origin);
        let trimmed = self.index().trimmed(key);
        let Some(mut from) = (match (trimmed, known) {
            (Some(place), _) if after >= place.seq => None,
            (Some(place), _) => Some(place.message),
            (None, Some(known)) => Some(known),
            (None, None) => self.link.find(&subject, after).await?,
        }) else {
            return Ok(Vec::new());
        };
        let mut taken: Vec<StoredEvent> = Vec::new();
        let mut room = limit.bytes;
        'reading: loop {
            let wanted = limit.events.saturating_sub(taken.len());
            let frames = self.link.frames(&subject, from, wanted, room).await?;
            let Some((end, _)) = frames.last() else { break };
            let end = *end;
            for (message, frame) in frames {
                let kind = frame.kind;
                if kind == Kind::Removed {
                    // Whatever was before it was another task's; what comes behind it is a new one.
                    taken.clear();
                    room = limit.bytes;
                }
                for event in frame.events {
                    let position = taken.last().map_or(after, |event| event.seq);
                    if event.seq <= position {
                        continue;
                    }
                    if event.seq != position + 1 && kind == Kind::Snapshot {
                        return Err(LogError::Trimmed { first: event.seq });
                    }
                    if event.seq != position + 1 {
                        let missing = format!("event {} of task {key} is missing", position + 1);
                        return Err(self.link.failed("reading", &missing));
                    }
                    let full = taken.len() >= limit.events.max(1) || event.public.len() > room;
                    if full && !taken.is_empty() {
                        from = message;
                        break 'reading;
                    }
                    room = room.saturating_sub(event.public.len());
                    taken.push(limit.show(event));
                }
            }
            from = end + 1;
            if taken.len() >= limit.events.max(1) || room == 0 {
                break;
            }
        }
        if let Some(last) = taken.last() {
            self.recent().positions.insert((key.clone(), last.seq), from);
        }
        Ok(taken)
    }
}

impl JetStreamLog {
    /// Connects, makes the stream if there is none, and reads the heads of all tasks.
    ///
    /// # Errors
    /// [`LogError::Refused`] if there is no server, or it is too old, or the stream is not ours.
    pub async fn open(options: JetStreamOptions) -> Result<Self, LogError> {
        let link = Arc::new(Link::open(&options).await?);
        let records = Bucket::open(Arc::clone(&link), &options).await?;
        let shared = Arc::new(Shared {
            link,
            index: RwLock::default(),
            recent: Mutex::new(Recent {
                rings: Rings::new(options.tail_cache),
                tails: Tails::default(),
                positions: LruCache::new(options.positions.max(1)),
            }),
            position: watch::channel(0).0,
            arrivals: watch::channel(0).0,
            impatient: Notify::new(),
            appends: Semaphore::new(options.in_flight.max(1)),
            appending_bytes: AtomicUsize::new(0),
            max_tasks: options.max_tasks,
            closed: AtomicBool::new(false),
        });
        let follower = tokio::spawn(follow::follow(Arc::clone(&shared)));
        let log = Self {
            shared,
            in_flight: options.in_flight.max(1),
            in_flight_bytes: options.in_flight_bytes,
            follower,
            records,
        };
        follow::catch_up(&log.shared, options.open_timeout).await?;
        Ok(log)
    }

    fn open_log(&self) -> Result<&Shared, LogError> {
        self.shared.open().map(|()| &*self.shared)
    }
}

/// Bytes of an append under way, given back when it is over.
struct Load<'a>(&'a AtomicUsize, usize);

impl<'a> Load<'a> {
    /// One append is always let in, whatever its size.
    fn take(all: &'a AtomicUsize, append: &Append, bound: usize) -> Result<Self, LogError> {
        let event =
            |event: &NewEvent| event.public.len() + event.private.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = APPEND_OVERHEAD + append.events.iter().map(event).sum::<usize>();
        let load = Self(all, bytes);
        if all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > bound.max(bytes) {
            return Err(LogError::Overloaded);
        }
        Ok(load)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let shared = self.open_log()?;
        let Ok(_permit) = shared.appends.try_acquire() else {
            return Err(shared.open().err().unwrap_or(LogError::Overloaded).into());
        };
        let _load = Load::take(&shared.appending_bytes, &append, self.in_flight_bytes)?;
        shared.append(append).await
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        self.open_log()?.read(key, after, limit).await
    }

    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError> {
        let shared = self.open_log()?;
        shared.last(key).await?.map(|frame| frame.head()).transpose()
    }

    async fn list(&self, query: ListQuery) -> Result<Page, LogError> {
        let shared = self.open_log()?;
        follow::catch_up(shared, shared.link.timeout).await?;
        shared.index().list(&query)
    }

    async fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let shared = self.open_log()?;
        follow::catch_up(shared, shared.link.timeout).await?;
        shared.index().unfinished(agent, after, limit)
    }

    async fn created_by(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        agent: &AgentName,
        message: &MessageId,
    ) -> Result<Option<TaskId>, LogError> {
        let shared = self.open_log()?;
        shared.made(&shared.link.names.made(tenant, &names::origin(owner, agent, message))).await
    }

    async fn tail(&self, key: &TaskKey) -> Result<watch::Receiver<Seq>, LogError> {
        let shared = self.open_log()?;
        // Following begins before looking, so that no append falls between the two.
        let mut receiver = shared.recent().tails.follow(key);
        let last = shared.last(key).await?;
        shared.open()?;
        shared.recent().tails.raise(key, last.map_or(0, |frame| frame.last()));
        receiver.mark_unchanged();
        Ok(receiver)
    }

    async fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError> {
        let shared = self.open_log()?;
        follow::catch_up(shared, shared.link.timeout).await?;
        shared.index().queue(agent, limit)
    }

    async fn pressure(&self, agent: &AgentName) -> Result<Pressure, LogError> {
        let shared = self.open_log()?;
        follow::catch_up(shared, shared.link.timeout).await?;
        Ok(shared.index().pressure(agent))
    }

    async fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let shared = self.open_log()?;
        follow::catch_up(shared, shared.link.timeout).await?;
        shared.index().ended(agent, before, which, limit)
    }

    async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError> {
        let shared = self.open_log()?;
        let Ok(_permit) = shared.appends.try_acquire() else {
            return Err(shared.open().err().unwrap_or(LogError::Overloaded));
        };
        shared.trim(tasks).await
    }

    /// The server gives the room of messages back by itself.
    async fn reclaim(&self) -> Result<bool, LogError> {
        self.open_log().map(|_| false)
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn records(&self) -> &dyn Records {
        &self.records
    }

    async fn close(&self) {
        let shared = &self.shared;
        shared.closed.store(true, Ordering::Release);
        // All permits are back when no append is under way.
        let all = u32::try_from(self.in_flight).unwrap_or(u32::MAX);
        if shared.appends.acquire_many(all).await.is_ok() {
            shared.appends.close();
        }
        self.follower.abort();
        self.records.close();
        shared.recent().tails.clear();
    }
}

impl Drop for JetStreamLog {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl fmt::Debug for JetStreamLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamLog").field("place", &self.shared.link.place).finish_non_exhaustive()
    }
}
