//! The heads of all tasks, in memory: what listings and restarts are answered from.

use super::frame::{Frame, read_head};
use crate::contract::{ListQuery, LogError, Page, PageCursor, Pressure, TaskHead};
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

/// What an agent has to do.
#[derive(Debug, Default)]
struct Queue {
    queued: BTreeSet<(Timestamp, TaskId, Tenant)>,
    working: u64,
    waiting: u64,
}

impl Queue {
    fn count(&mut self, state: TaskState) -> Option<&mut u64> {
        match state {
            TaskState::Working => Some(&mut self.working),
            state if state.is_interrupted() => Some(&mut self.waiting),
            _ => None,
        }
    }

    fn leave(&mut self, state: TaskState, since: Timestamp, key: &TaskKey) {
        if state == TaskState::Submitted {
            self.queued.remove(&(since, key.task.clone(), key.tenant.clone()));
        } else if let Some(count) = self.count(state) {
            *count = count.saturating_sub(1);
        }
    }

    fn join(&mut self, state: TaskState, since: Timestamp, key: &TaskKey) {
        if state == TaskState::Submitted {
            self.queued.insert((since, key.task.clone(), key.tenant.clone()));
        } else if let Some(count) = self.count(state) {
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

    /// What the task was created by.
    pub(super) fn origin(&self, key: &TaskKey) -> Option<Box<str>> {
        self.tasks.get(key).map(|entry| entry.origin.clone())
    }

    /// Takes in a task's message. Two processes that create a task of the same name from two messages at the same moment
    /// are not stopped: then the first to be seen is the task.
    pub(super) fn note(&mut self, head: TaskHead, origin: &str, frame: &Frame, message: u64) -> Noted {
        let key = head.key;
        let (tenant, task) = (&key.tenant, &key.task);
        if let Some(known) = self.tasks.get(&key) {
            if *known.origin != *origin {
                return Noted::Foreign;
            }
            if known.place.message >= message {
                return Noted::Known;
            }
            if known.status_at != head.status_at
                && let Some(of_tenant) = self.by_status.get_mut(tenant)
            {
                of_tenant.remove(&(known.status_at, task.clone()));
            }
            if !known.state.is_terminal() && head.state.is_terminal() {
                self.unfinished.remove(&(known.agent.clone(), task.clone(), tenant.clone()));
            }
            if let Some(queue) = self.queues.get_mut(&known.agent) {
                queue.leave(known.state, known.status_at, &key);
            }
        }
        if !self.queues.contains_key(&head.control.agent) {
            self.queues.insert(head.control.agent.clone(), Queue::default());
        }
        if let Some(queue) = self.queues.get_mut(&head.control.agent) {
            queue.join(head.state, head.status_at, &key);
        }
        self.by_status.entry(tenant.clone()).or_default().insert((head.status_at, task.clone()));
        if !head.state.is_terminal() {
            self.unfinished.insert((head.control.agent.clone(), task.clone(), tenant.clone()));
        }
        let entry = Entry {
            place: Place { seq: frame.last(), message },
            origin: origin.into(),
            owner: head.control.owner.id,
            agent: head.control.agent,
            context: head.context_id,
            state: head.state,
            status_at: head.status_at,
            head: frame.head.as_ref().into(),
        };
        self.tasks.insert(key, entry);
        Noted::New
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
        read_head(&self.head, self.place.seq)
    }

    fn matches(&self, query: &ListQuery) -> bool {
        query.owner.as_ref().is_none_or(|owner| self.owner == *owner)
            && query.agent.as_ref().is_none_or(|agent| self.agent == *agent)
            && query.context_id.as_ref().is_none_or(|context| self.context == *context)
            && query.state.is_none_or(|state| self.state == state)
    }
}
