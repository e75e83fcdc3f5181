//! The heads of all tasks, in memory: what listings and restarts are answered from.

use super::frame::{Frame, read_head};
use crate::contract::{Ended, ListQuery, LogError, Page, PageCursor, Pressure, TaskHead};
use mesh_core::model::TaskState;
use mesh_core::{AgentName, ContextId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// Where a task's last frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the task's last event.
    pub(super) seq: Seq,
    /// The number of its last message in the stream.
    pub(super) message: u64,
}

/// What a message was to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// The newest of its task.
    New,
    /// Known before, or older than what is known.
    Known,
    /// Of another task with the same name.
    Foreign,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    origin: Box<str>,
    owner: PrincipalId,
    agent: AgentName,
    context: ContextId,
    state: TaskState,
    status_at: Timestamp,
    /// The number of the first event.
    first: Seq,
    /// JSON, much smaller than what it says.
    head: Box<[u8]>,
}

/// All tasks. Frames may be taken in twice and out of order: the newest stays.
#[derive(Debug, Default)]
pub(super) struct Index {
    tasks: HashMap<TaskKey, Entry>,
    by_status: HashMap<Tenant, BTreeSet<(Timestamp, TaskId)>>,
    unfinished: BTreeSet<(AgentName, TaskId, Tenant)>,
    queues: HashMap<AgentName, Queue>,
}

/// What an agent has to do, and what it has done.
#[derive(Debug, Default)]
struct Queue {
    queued: BTreeSet<(Timestamp, TaskId, Tenant)>,
    working: u64,
    waiting: u64,
    /// Ended tasks by when they ended: those with all their events, and the others.
    whole: BTreeSet<(Timestamp, TaskId, Tenant)>,
    trimmed: BTreeSet<(Timestamp, TaskId, Tenant)>,
}

impl Queue {
    fn count(&mut self, state: TaskState) -> Option<&mut u64> {
        match state {
            TaskState::Working => Some(&mut self.working),
            state if state.is_interrupted() => Some(&mut self.waiting),
            _ => None,
        }
    }

    /// The tasks of such a state that are kept in order.
    fn ordered(
        &mut self,
        state: TaskState,
        whole: bool,
    ) -> Option<&mut BTreeSet<(Timestamp, TaskId, Tenant)>> {
        match state {
            TaskState::Submitted => Some(&mut self.queued),
            state if state.is_terminal() && whole => Some(&mut self.whole),
            state if state.is_terminal() => Some(&mut self.trimmed),
            _ => None,
        }
    }

    fn leave(&mut self, entry: &Entry, key: &TaskKey) {
        if let Some(ordered) = self.ordered(entry.state, entry.is_whole()) {
            ordered.remove(&(entry.status_at, key.task.clone(), key.tenant.clone()));
        } else if let Some(count) = self.count(entry.state) {
            *count = count.saturating_sub(1);
        }
    }

    fn join(&mut self, entry: &Entry, key: &TaskKey) {
        if let Some(ordered) = self.ordered(entry.state, entry.is_whole()) {
            ordered.insert((entry.status_at, key.task.clone(), key.tenant.clone()));
        } else if let Some(count) = self.count(entry.state) {
            *count += 1;
        }
    }
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn place(&self, key: &TaskKey) -> Option<Place> {
        self.tasks.get(key).map(|entry| entry.place)
    }

    /// Where the snapshot of a trimmed task is.
    pub(super) fn trimmed(&self, key: &TaskKey) -> Option<Place> {
        self.tasks.get(key).filter(|entry| !entry.is_whole()).map(|entry| entry.place)
    }

    /// What the task was created by.
    pub(super) fn origin(&self, key: &TaskKey) -> Option<Box<str>> {
        self.tasks.get(key).map(|entry| entry.origin.clone())
    }

    /// Takes in a task's message. Two processes that create a task of the same name from two messages at the same moment
    /// are not stopped: then the first to be seen is the task.
    pub(super) fn note(&mut self, head: TaskHead, origin: &str, frame: &Frame, message: u64) -> Noted {
        if let Some(known) = self.tasks.get(&head.key) {
            if *known.origin != *origin {
                return Noted::Foreign;
            }
            if known.place.message >= message {
                return Noted::Known;
            }
        }
        self.forget(&head.key);
        let key = head.key;
        let (tenant, task) = (&key.tenant, &key.task);
        let entry = Entry {
            place: Place { seq: frame.last(), message },
            origin: origin.into(),
            owner: head.control.owner.id,
            agent: head.control.agent,
            context: head.context_id,
            state: head.state,
            status_at: head.status_at,
            first: head.first,
            head: frame.head.as_ref().into(),
        };
        if !self.queues.contains_key(&entry.agent) {
            self.queues.insert(entry.agent.clone(), Queue::default());
        }
        if let Some(queue) = self.queues.get_mut(&entry.agent) {
            queue.join(&entry, &key);
        }
        self.by_status.entry(tenant.clone()).or_default().insert((entry.status_at, task.clone()));
        if !entry.state.is_terminal() {
            self.unfinished.insert((entry.agent.clone(), task.clone(), tenant.clone()));
        }
        self.tasks.insert(key, entry);
        Noted::New
    }

    /// Takes in that a task was removed, unless what is known is newer or another's.
    pub(super) fn remove(&mut self, key: &TaskKey, origin: &str, message: u64) {
        let known = self.tasks.get(key);
        if known.is_some_and(|known| *known.origin == *origin && known.place.message < message) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &TaskKey) {
        let Some(known) = self.tasks.remove(key) else { return };
        if let Some(of_tenant) = self.by_status.get_mut(&key.tenant) {
            of_tenant.remove(&(known.status_at, key.task.clone()));
        }
        if !known.state.is_terminal() {
            self.unfinished.remove(&(known.agent.clone(), key.task.clone(), key.tenant.clone()));
        }
        if let Some(queue) = self.queues.get_mut(&known.agent) {
            queue.leave(&known, key);
        }
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<Page, LogError> {
        let mut page = Page::default();
        let Some(of_tenant) = self.by_status.get(&query.tenant) else { return Ok(page) };
        let since = query.status_at_or_after.unwrap_or(Timestamp(i64::MIN));
        let mut more = false;
        for (status_at, task) in of_tenant.range((since, TaskId::from(""))..).rev() {
            let key = TaskKey::new(query.tenant.clone(), task.clone());
            let Some(entry) = self.tasks.get(&key).filter(|entry| entry.matches(query)) else { continue };
            page.total += 1;
            let done = |after: &PageCursor| (*status_at, task) >= (after.status_at, &after.task);
            if query.after.as_ref().is_some_and(done) {
                continue;
            }
            if page.heads.len() < query.limit {
                page.heads.push(entry.head()?);
            } else {
                more = true;
            }
        }
        page.next = page.heads.last().filter(|_| more).map(PageCursor::at);
        Ok(page)
    }

    pub(super) fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let first = match after {
            Some(key) => Bound::Excluded((agent.clone(), key.task.clone(), key.tenant.clone())),
            None => Bound::Included((agent.clone(), TaskId::from(""), Tenant::from(""))),
        };
        self.unfinished
            .range((first, Bound::Unbounded))
            .take_while(|(of, ..)| of == agent)
            .take(limit)
            .filter_map(|(_, task, tenant)| self.tasks.get(&TaskKey::new(tenant.clone(), task.clone())))
            .map(Entry::head)
            .collect()
    }

    pub(super) fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError> {
        let queued = self.queues.get(agent).into_iter().flat_map(|queue| &queue.queued).take(limit);
        queued
            .filter_map(|(_, task, tenant)| self.tasks.get(&TaskKey::new(tenant.clone(), task.clone())))
            .map(Entry::head)
            .collect()
    }

    pub(super) fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        let Some(queue) = self.queues.get(agent) else { return Ok(Vec::new()) };
        let in_time = |(at, ..): &&(Timestamp, TaskId, Tenant)| *at < before;
        let found: Vec<_> = match which {
            Ended::Whole { after } => {
                let after = after.map(|(at, key)| (at, key.task, key.tenant));
                let first = after.map_or(Bound::Unbounded, Bound::Excluded);
                let whole = queue.whole.range((first, Bound::Unbounded)).take_while(in_time);
                // One event cannot be made less of.
                whole.filter(|(_, task, tenant)| self.has_many(task, tenant)).take(limit).collect()
            }
            Ended::Beyond { keep } => {
                let ended = queue.whole.len() + queue.trimmed.len();
                let limit = limit.min(ended.saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)));
                let mut found: Vec<_> = queue.whole.iter().take_while(in_time).take(limit).collect();
                found.extend(queue.trimmed.iter().take_while(in_time).take(limit));
                found.sort_unstable();
                found.truncate(limit);
                found
            }
        };
        let entry = |(_, task, tenant): &(Timestamp, TaskId, Tenant)| {
            self.tasks.get(&TaskKey::new(tenant.clone(), task.clone()))
        };
        found.into_iter().filter_map(entry).map(Entry::head).collect()
    }

    fn has_many(&self, task: &TaskId, tenant: &Tenant) -> bool {
        self.place(&TaskKey::new(tenant.clone(), task.clone())).is_some_and(|place| place.seq > 1)
    }

    pub(super) fn pressure(&self, agent: &AgentName) -> Pressure {
        let Some(queue) = self.queues.get(agent) else { return Pressure::default() };
        Pressure {
            queued: queue.queued.len() as u64,
            oldest_queued: queue.queued.first().map(|(since, ..)| *since),
            working: queue.working,
            waiting: queue.waiting,
        }
    }
}

impl Entry {
    fn head(&self) -> Result<TaskHead, LogError> {
        read_head(&self.head, self.first, self.place.seq)
    }

    /// All its events are there.
    fn is_whole(&self) -> bool {
        self.first == 1
    }

    fn matches(&self, query: &ListQuery) -> bool {
        query.owner.as_ref().is_none_or(|owner| self.owner == *owner)
            && query.agent.as_ref().is_none_or(|agent| self.agent == *agent)
            && query.context_id.as_ref().is_none_or(|context| self.context == *context)
            && query.state.is_none_or(|state| self.state == state)
    }
}
