//! The provider without a disk.

mod records;

use crate::contract::{
    Append, AppendError, Ended, EventLog, ListQuery, LogError, NewEvent, Page, PageCursor, Pressure,
    ReadLimit, StoredEvent, TaskHead, Trim,
};
use crate::records::Records;
use crate::tails::Tails;
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{AgentName, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
pub(crate) use records::MemoryRecords;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What an event, and a task, cost beside their bytes; rounded up.
const EVENT_OVERHEAD: usize = 128;
const TASK_OVERHEAD: usize = 2048;

/// A log in memory, for `--ephemeral` and for tests: it keeps every promise but durability.
///
/// Its one bound is a total: beyond it, appends fail with [`LogError::Full`], as on a full disk. What is trimmed or
/// removed is given back at once.
#[derive(Debug)]
pub struct MemoryLog {
    state: Mutex<State>,
    max_bytes: usize,
    arrivals: watch::Sender<u64>,
    shared: bool,
    records: MemoryRecords,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<TaskKey, Task>,
    created: HashMap<Creation, TaskId>,
    tails: Tails,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Task {
    head: TaskHead,
    events: Vec<StoredEvent>,
    /// The message that created it.
    message: Option<MessageId>,
}

type Creation = (Tenant, PrincipalId, AgentName, MessageId);

impl Task {
    fn bytes(&self) -> usize {
        TASK_OVERHEAD
            + self.events.iter().map(|event| cost(&event.public, event.private.as_ref())).sum::<usize>()
    }

    fn creation(&self) -> Option<Creation> {
        let control = &self.head.control;
        let message = self.message.clone()?;
        Some((self.head.key.tenant.clone(), control.owner.id.clone(), control.agent.clone(), message))
    }
}

impl MemoryLog {
    /// A log of at most 1 GiB.
    pub fn new() -> Self {
        Self::with_max_bytes(1 << 30)
    }

    /// A log of at most about `max_bytes`.
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            max_bytes,
            arrivals: watch::channel(0).0,
            shared: false,
            records: MemoryRecords::default(),
        }
    }

    /// The same log, for several hosts in one process: they take care of each other as they would on a distributed one.
    #[must_use]
    pub fn for_several_hosts(mut self) -> Self {
        self.shared = true;
        self
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, LogError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(LogError::Closed) } else { Ok(state) }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let mut state = self.open()?;
        let Append { expected_seq: expected, events, mut head, creates } = append;
        let creation = creates.filter(|_| expected == 0).map(|message| {
            let owner = &head.control.owner.id;
            (head.key.tenant.clone(), owner.clone(), head.control.agent.clone(), message)
        });
        if let Some(first) = creation.as_ref().and_then(|creation| state.created.get(creation)) {
            return Err(AppendError::Duplicate(first.clone()));
        }
        let (first, actual) =
            state.tasks.get(&head.key).map_or((1, 0), |task| (task.head.first, task.head.seq));
        if actual != expected {
            return Err(AppendError::Conflict { expected, actual });
        }
        if first > 1 {
            return Err(LogError::Trimmed { first }.into());
        }
        if expected == 0 && events.is_empty() {
            return Err(LogError::Failed("a task begins with at least one event".to_owned()).into());
        }
        let overhead = if expected == 0 { TASK_OVERHEAD } else { 0 };
        let bytes =
            overhead + events.iter().map(|event| cost(&event.public, event.private.as_ref())).sum::<usize>();
        if state.bytes.saturating_add(bytes) > self.max_bytes {
            let limit = self.max_bytes;
            return Err(LogError::Full(format!("the log in memory has reached its {limit} bytes")).into());
        }
        let seq = expected + events.len() as Seq;
        let numbered = events
            .into_iter()
            .zip(expected + 1..)
            .map(|(NewEvent { public, private }, seq)| StoredEvent { seq, public, private });
        let key = head.key.clone();
        (head.seq, head.first) = (seq, 1);
        let queued = head.state == TaskState::Submitted;
        head.control.touched.clear();
        match state.tasks.get_mut(&key) {
            Some(task) => {
                task.head = head;
                task.events.extend(numbered);
            }
            None => {
                let events = numbered.collect();
                let message = creation.as_ref().map(|creation| creation.3.clone());
                state.tasks.insert(key.clone(), Task { head, events, message });
            }
        }
        if let Some(creation) = creation {
            state.created.insert(creation, key.task.clone());
        }
        state.bytes += bytes;
        state.tails.raise(&key, seq);
        if queued {
            self.arrivals.send_modify(|count| *count += 1);
        }
        Ok(seq)
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        let state = self.open()?;
        let Some(task) = state.tasks.get(key) else { return Ok(Vec::new()) };
        let first = task.head.first;
        if after.saturating_add(1) < first {
            return Err(LogError::Trimmed { first });
        }
        let skip = usize::try_from(after - (first - 1)).unwrap_or(usize::MAX);
        let mut room = limit.bytes;
        let mut taken = Vec::new();
        for event in task.events.iter().skip(skip).take(limit.events.max(1)) {
            if !taken.is_empty() && event.public.len() > room {
                break;
            }
            room = room.saturating_sub(event.public.len());
            taken.push(limit.show(event.clone()));
        }
        Ok(taken)
    }

    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError> {
        Ok(self.open()?.tasks.get(key).map(|task| task.head.clone()))
    }

    async fn list(&self, query: ListQuery) -> Result<Page, LogError> {
        let state = self.open()?;
        let mut matching: Vec<&TaskHead> =
            state.tasks.values().map(|task| &task.head).filter(|head| matches(&query, head)).collect();
        matching.sort_unstable_by_key(|head| Reverse((head.status_at, &head.key.task)));
        let total = matching.len() as u64;
        if let Some(PageCursor { status_at, task }) = &query.after {
            let done =
                matching.partition_point(|head| (head.status_at, &head.key.task) >= (*status_at, task));
            matching.drain(..done);
        }
        let more = matching.len() > query.limit;
        matching.truncate(query.limit);
        let heads: Vec<TaskHead> = matching.into_iter().cloned().collect();
        let next = heads.last().filter(|_| more).map(PageCursor::at);
        Ok(Page { heads, total, next })
    }

    async fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let state = self.open()?;
        let order = |key: &TaskKey| (key.task.clone(), key.tenant.clone());
        let after = after.map(order);
        let mut heads: Vec<&TaskHead> = state
            .tasks
            .values()
            .map(|task| &task.head)
            .filter(|head| head.control.agent == *agent && !head.state.is_terminal())
            .filter(|head| after.as_ref().is_none_or(|after| order(&head.key) > *after))
            .collect();
        heads.sort_unstable_by_key(|head| order(&head.key));
        Ok(heads.into_iter().take(limit).cloned().collect())
    }

    async fn created_by(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        agent: &AgentName,
        message: &MessageId,
    ) -> Result<Option<TaskId>, LogError> {
        let creation = (tenant.clone(), owner.clone(), agent.clone(), message.clone());
        Ok(self.open()?.created.get(&creation).cloned())
    }

    async fn tail(&self, key: &TaskKey) -> Result<watch::Receiver<Seq>, LogError> {
        let mut state = self.open()?;
        let mut receiver = state.tails.follow(key);
        let seq = state.tasks.get(key).map_or(0, |task| task.head.seq);
        state.tails.raise(key, seq);
        receiver.mark_unchanged();
        Ok(receiver)
    }

    async fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError> {
        let state = self.open()?;
        let mut heads: Vec<&TaskHead> = state
            .tasks
            .values()
            .map(|task| &task.head)
            .filter(|head| head.control.agent == *agent && head.state == TaskState::Submitted)
            .collect();
        heads.sort_unstable_by_key(|head| (head.status_at, &head.key.task));
        Ok(heads.into_iter().take(limit).cloned().collect())
    }

    async fn pressure(&self, agent: &AgentName) -> Result<Pressure, LogError> {
        let state = self.open()?;
        let mut pressure = Pressure::default();
        let of_agent = state.tasks.values().filter(|task| task.head.control.agent == *agent);
        for head in of_agent.map(|task| &task.head) {
            match head.state {
                TaskState::Submitted => {
                    pressure.queued += 1;
                    let oldest = pressure.oldest_queued.unwrap_or(head.status_at);
                    pressure.oldest_queued = Some(oldest.min(head.status_at));
                }
                TaskState::Working => pressure.working += 1,
                state if state.is_interrupted() => pressure.waiting += 1,
                _ => {}
            }
        }
        Ok(pressure)
    }

    async fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        fn order(head: &TaskHead) -> (Timestamp, &TaskId, &Tenant) {
            (head.status_at, &head.key.task, &head.key.tenant)
        }
        let state = self.open()?;
        let ended = || {
            let heads = state.tasks.values().map(|task| &task.head);
            heads.filter(|head| head.control.agent == *agent && head.state.is_terminal())
        };
        let in_time = ended().filter(|head| head.status_at < before);
        let (mut heads, limit): (Vec<&TaskHead>, usize) = match which {
            Ended::Beyond { keep } => {
                // Those that ended before a time are the first of all.
                let beyond = ended().count().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
                (in_time.collect(), limit.min(beyond))
            }
            Ended::Whole { after } => {
                let after = after.as_ref().map(|(at, key)| (*at, &key.task, &key.tenant));
                let whole = in_time.filter(|head| head.first < head.seq);
                (whole.filter(|head| after.is_none_or(|after| order(head) > after)).collect(), limit)
            }
        };
        if heads.len() > limit {
            heads.select_nth_unstable_by(limit, |one, other| order(one).cmp(&order(other)));
            heads.truncate(limit);
        }
        heads.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        Ok(heads.into_iter().cloned().collect())
    }

    async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError> {
        let mut state = self.open()?;
        let state = &mut *state;
        let mut changed = Vec::new();
        for Trim { key, seq, snapshot } in tasks {
            let Some(task) = state.tasks.get_mut(&key) else { continue };
            if task.head.seq != seq || !task.head.state.is_terminal() {
                continue;
            }
            let before = task.bytes();
            if let Some(public) = snapshot {
                if task.head.first == seq {
                    continue;
                }
                task.events = vec![StoredEvent { seq, public, private: None }];
                task.head.first = seq;
                state.bytes = state.bytes - before + task.bytes();
            } else {
                if let Some(creation) = task.creation() {
                    state.created.remove(&creation);
                }
                state.tasks.remove(&key);
                state.bytes -= before;
            }
            changed.push(key);
        }
        Ok(changed)
    }

    async fn reclaim(&self) -> Result<bool, LogError> {
        self.open().map(|_| false)
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn records(&self) -> &dyn Records {
        &self.records
    }

    async fn close(&self) {
        self.records.close();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.tails.clear();
    }
}

fn cost(public: &Bytes, private: Option<&Bytes>) -> usize {
    public.len() + private.map_or(0, Bytes::len) + EVENT_OVERHEAD
}

fn matches(query: &ListQuery, head: &TaskHead) -> bool {
    head.key.tenant == query.tenant
        && query.owner.as_ref().is_none_or(|owner| head.control.owner.id == *owner)
        && query.agent.as_ref().is_none_or(|agent| head.control.agent == *agent)
        && query.context_id.as_ref().is_none_or(|context| head.context_id == *context)
        && query.state.is_none_or(|state| head.state == state)
        && query.status_at_or_after.is_none_or(|since| head.status_at >= since)
}
