//! What the tests append, and how they look at it.

use bytes::Bytes;
use mesh_core::lifecycle::{Control, Phase};
use mesh_core::model::TaskState;
use mesh_core::{AgentName, MessageId, Principal, PrincipalId, Seq, TaskKey, Timestamp, TraceContext};
use mesh_log::{
    Append, AppendError, EventLog, ListQuery, LogError, NewEvent, ReadLimit, StoredEvent, TaskHead, Trim,
};
use std::collections::BTreeSet;

pub(crate) fn key(tenant: &str, task: &str) -> TaskKey {
    TaskKey::new(tenant.into(), task.into())
}

/// The content of a task's event: a text that says which it is, so that a mix-up shows.
pub(crate) fn content(key: &TaskKey, seq: Seq) -> Bytes {
    Bytes::from(format!(r#"{{"task":"{key}","seq":{seq}}}"#))
}

/// An append of `count` events after `after`, by the owner `local`, to the agent `sales`.
pub(crate) fn step(key: &TaskKey, after: Seq, count: u64) -> Append {
    let events = (after + 1..=after + count)
        .map(|seq| NewEvent { public: content(key, seq), private: (seq % 2 == 0).then(|| content(key, seq)) })
        .collect();
    let head = TaskHead {
        key: key.clone(),
        context_id: "context".into(),
        state: TaskState::Working,
        status_at: Timestamp(1_000),
        seq: 0,
        first: 1,
        control: control(key, "local", "sales", after + count),
    };
    Append { expected_seq: after, events, head, creates: None }
}

/// A control record that says at which event it was written, as its number of attempts.
pub(crate) fn control(key: &TaskKey, owner: &str, agent: &str, seq: Seq) -> Control {
    Control {
        agent: AgentName::new(agent),
        owner: Principal::person(key.tenant.clone(), PrincipalId::new(owner)),
        phase: Phase::Queued,
        holder: None,
        attempts: u32::try_from(seq).unwrap(),
        losses: 0,
        answers: Vec::new(),
        received: Vec::new(),
        trace: TraceContext { trace_id: 1, span_id: 1, flags: 1 },
        created: Timestamp(1_000),
        touched: BTreeSet::new(),
    }
}

/// Small changes to a [`step`].
pub(crate) trait With: Sized {
    fn creates(self, message: &str) -> Self;
    fn owner(self, owner: &str) -> Self;
    fn agent(self, agent: &str) -> Self;
    fn context(self, context: &str) -> Self;
    fn state(self, state: TaskState) -> Self;
    fn at(self, millis: i64) -> Self;
}

impl With for Append {
    fn creates(mut self, message: &str) -> Self {
        self.creates = Some(MessageId::new(message));
        self
    }

    fn owner(mut self, owner: &str) -> Self {
        self.head.control.owner.id = owner.into();
        self
    }

    fn agent(mut self, agent: &str) -> Self {
        self.head.control.agent = agent.into();
        self
    }

    fn context(mut self, context: &str) -> Self {
        self.head.context_id = context.into();
        self
    }

    fn state(mut self, state: TaskState) -> Self {
        self.head.state = state;
        self
    }

    fn at(mut self, millis: i64) -> Self {
        self.head.status_at = Timestamp(millis);
        self
    }
}

/// Everything of one tenant.
pub(crate) fn all(tenant: &str) -> ListQuery {
    ListQuery {
        tenant: tenant.into(),
        owner: None,
        agent: None,
        context_id: None,
        state: None,
        status_at_or_after: None,
        after: None,
        limit: 100,
    }
}

/// Every event after `after`, page by page.
pub(crate) async fn read_all(
    log: &dyn EventLog,
    key: &TaskKey,
    after: Seq,
    limit: ReadLimit,
) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let position = events.last().map_or(after, |event| event.seq);
        let page = log.read(key, position, limit).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// Asserts that a task has the events 1 to `last` as [`step`] makes them, and a head that was written with the last.
pub(crate) async fn assert_whole(log: &dyn EventLog, key: &TaskKey, last: Seq) {
    let events = read_all(log, key, 0, ReadLimit::default()).await;
    assert_events(&events, key, 1, last);
    let head = log.head(key).await.unwrap().unwrap();
    assert_eq!((head.seq, u64::from(head.control.attempts)), (last, last), "head of {key}");
}

/// Asserts that these are the events `first` to `last`.
pub(crate) fn assert_events(events: &[StoredEvent], key: &TaskKey, first: Seq, last: Seq) {
    let numbers: Vec<Seq> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "numbers of {key}");
    for event in events {
        assert_eq!(event.public, content(key, event.seq));
        assert_eq!(event.private, (event.seq % 2 == 0).then(|| content(key, event.seq)));
    }
}

pub(crate) fn is_conflict<T>(outcome: &Result<T, AppendError>, at: Seq) -> bool {
    matches!(outcome, Err(AppendError::Conflict { actual, .. }) if *actual == at)
}

/// Trims a task whose last event is `seq`: the snapshot says which it is.
pub(crate) fn trimmed(key: &TaskKey, seq: Seq) -> Trim {
    Trim { key: key.clone(), seq, snapshot: Some(snapshot(key, seq)) }
}

/// Removes a task whose last event is `seq`.
pub(crate) fn removed(key: &TaskKey, seq: Seq) -> Trim {
    Trim { key: key.clone(), seq, snapshot: None }
}

/// The content of a task's snapshot.
pub(crate) fn snapshot(key: &TaskKey, seq: Seq) -> Bytes {
    Bytes::from(format!(r#"{{"all of":"{key}","to":{seq}}}"#))
}

/// Asserts that of a task with `last` events its snapshot is left and nothing else, and that reading says so.
pub(crate) async fn assert_trimmed(log: &dyn EventLog, key: &TaskKey, last: Seq) {
    let head = log.head(key).await.unwrap().unwrap();
    assert_eq!((head.first, head.seq, u64::from(head.control.attempts)), (last, last, last), "head of {key}");
    let left = StoredEvent { seq: last, public: snapshot(key, last), private: None };
    assert_eq!(log.read(key, last - 1, ReadLimit::default()).await.unwrap(), [left]);
    for after in [last, last + 1, u64::MAX] {
        assert_eq!(log.read(key, after, ReadLimit::default()).await.unwrap(), []);
    }
    for gone in (0..last - 1).step_by(7) {
        let read = log.read(key, gone, ReadLimit::default()).await;
        assert!(
            matches!(&read, Err(LogError::Trimmed { first }) if *first == last),
            "after {gone}: {read:?}"
        );
    }
    assert_eq!(*log.tail(key).await.unwrap().borrow(), last);
}

/// Asserts that there is no such task.
pub(crate) async fn assert_gone(log: &dyn EventLog, key: &TaskKey) {
    assert_eq!(log.head(key).await.unwrap(), None, "{key}");
    assert_eq!(log.read(key, 0, ReadLimit::default()).await.unwrap(), [], "{key}");
    assert_eq!(*log.tail(key).await.unwrap().borrow(), 0, "{key}");
}
