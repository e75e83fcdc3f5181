//! The promises of `Records`, and promise 8 (queue) of the log.

use crate::build::{With, key, step};
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{AgentName, Timestamp};
use mesh_log::{EventLog, Expect, LONGEST_VALUE, Pressure, PutError, RecordKey, Records, Space};
use std::sync::Arc;
use tokio::task::JoinSet;

type Log = Arc<dyn EventLog>;

pub(crate) fn record(tenant: &str, name: &str) -> RecordKey {
    RecordKey::new(Space::Context, tenant.into(), name)
}

async fn value(records: &dyn Records, key: &RecordKey) -> Option<Bytes> {
    records.get(key).await.unwrap().map(|record| record.value)
}

async fn names(records: &dyn Records, tenant: Option<&str>, prefix: &str) -> Vec<String> {
    let tenant = tenant.map(Into::into);
    let found = records.list(Space::Context, tenant.as_ref(), prefix, None, 100).await.unwrap();
    found.into_iter().map(|record| format!("{}:{}", record.key.tenant, record.key.name)).collect()
}

pub(crate) async fn a_record_is_changed_only_by_who_knows_its_version(log: Log) {
    let (records, key) = (log.records(), record("t", "a/b c"));
    let first = records.put(&key, "1".into(), Expect::Nothing).await.unwrap();
    let refused = records.put(&key, "x".into(), Expect::Nothing).await;
    assert!(matches!(refused, Err(PutError::Conflict { actual }) if actual == first), "{refused:?}");
    let second = records.put(&key, "2".into(), Expect::Version(first)).await.unwrap();
    assert!(second > first);
    let refused = records.put(&key, "x".into(), Expect::Version(first)).await;
    assert!(matches!(refused, Err(PutError::Conflict { actual }) if actual == second), "{refused:?}");
    assert!(matches!(records.delete(&key, Expect::Version(first)).await, Err(PutError::Conflict { .. })));
    assert_eq!(value(records, &key).await, Some("2".into()));
    let third = records.put(&key, "3".into(), Expect::Anything).await.unwrap();
    assert_eq!(records.get(&key).await.unwrap().unwrap().version, third);
}

pub(crate) async fn a_version_never_comes_back_also_after_a_deletion(log: Log) {
    let (records, key) = (log.records(), record("t", "a"));
    let mut last = 0;
    for round in 0..5 {
        let version = records.put(&key, "x".into(), Expect::Nothing).await.unwrap();
        assert!(version > last, "round {round}: {version} after {last}");
        last = version;
        records.delete(&key, Expect::Version(version)).await.unwrap();
        assert_eq!(value(records, &key).await, None);
        assert!(names(records, None, "").await.is_empty());
    }
    records.delete(&key, Expect::Anything).await.unwrap();
    let refused = records.put(&key, "x".into(), Expect::Version(last)).await;
    assert!(matches!(refused, Err(PutError::Conflict { actual: 0 })), "{refused:?}");
}

pub(crate) async fn of_many_writers_that_expect_the_same_one_succeeds(log: Log) {
    let version = log.records().put(&record("t", "n"), "0".into(), Expect::Nothing).await.unwrap();
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            let value = Bytes::from(n.to_string());
            log.records().put(&record("t", "n"), value, Expect::Version(version)).await.is_ok()
        });
    }
    let won = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

pub(crate) async fn records_are_listed_by_tenant_and_name_in_pages(log: Log) {
    let records = log.records();
    for (tenant, name) in [("b", "x/1"), ("a", "y/1"), ("a", "x/2"), ("a", "x/1"), ("", "x=\u{e4}.*>")] {
        records.put(&record(tenant, name), "v".into(), Expect::Nothing).await.unwrap();
    }
    let elsewhere = RecordKey::new(Space::Push, "a".into(), "x/1");
    records.put(&elsewhere, "other".into(), Expect::Nothing).await.unwrap();
    assert_eq!(names(records, None, "").await, [":x=\u{e4}.*>", "a:x/1", "a:x/2", "a:y/1", "b:x/1"]);
    assert_eq!(names(records, Some("a"), "x/").await, ["a:x/1", "a:x/2"]);
    assert_eq!(names(records, Some("c"), "").await, [""; 0]);
    for (tenant, prefix, count) in
        [("a", "x/", 2), ("a", "", 3), ("a", "x/1", 1), ("a", "z", 0), ("c", "", 0)]
    {
        let counted = records.count(Space::Context, &tenant.into(), prefix).await.unwrap();
        assert_eq!(counted, count, "{tenant} {prefix}");
    }
    let after = record("a", "x/1");
    let within = records.list(Space::Context, Some(&"a".into()), "x/", Some(&after), 9).await.unwrap();
    assert_eq!(within.iter().map(|record| &*record.key.name).collect::<Vec<_>>(), ["x/2"]);
    for (tenant, name) in [("a", "y/1"), ("b", "x/1")] {
        let beyond = record(tenant, name);
        let none = records.list(Space::Context, Some(&"a".into()), "x/", Some(&beyond), 9).await.unwrap();
        assert!(none.is_empty(), "{beyond:?}");
    }
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = records.list(Space::Context, None, "x", after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        paged.extend(page.into_iter().map(|record| record.key.name));
    }
    assert_eq!(paged, ["x=\u{e4}.*>", "x/1", "x/2", "x/1"]);
    assert_eq!(value(records, &record("b", "y/1")).await, None, "it is another tenant's");
}

pub(crate) async fn names_and_values_have_a_longest_size(log: Log) {
    let records = log.records();
    let longest = record("t", &"\u{20ac}".repeat(RecordKey::LONGEST_NAME / 3));
    records.put(&longest, vec![7; LONGEST_VALUE].into(), Expect::Nothing).await.unwrap();
    assert_eq!(value(records, &longest).await.unwrap().len(), LONGEST_VALUE);
    assert_eq!(names(records, None, "\u{20ac}").await.len(), 1);
    for (name, size) in
        [("x".repeat(RecordKey::LONGEST_NAME + 1), 1), (String::new(), 1), ("x".into(), LONGEST_VALUE + 1)]
    {
        let refused = records.put(&record("t", &name), vec![0; size].into(), Expect::Anything).await;
        assert!(matches!(refused, Err(PutError::TooLarge(_))), "{refused:?}");
    }
}

pub(crate) async fn a_change_is_heard_in_its_space(log: Log) {
    let records = log.records();
    let mut changes = records.changes(Space::Context).await.unwrap();
    changes.mark_unchanged();
    records.put(&record("t", "a"), "1".into(), Expect::Anything).await.unwrap();
    changes.changed().await.unwrap();
    records.delete(&record("t", "a"), Expect::Anything).await.unwrap();
    changes.changed().await.unwrap();
}

pub(crate) async fn the_queue_has_what_waits_longest_first_and_is_counted(log: Log) {
    let agent = AgentName::from("agent");
    let mut arrivals = log.arrivals();
    for (task, at, state) in [
        ("1", 30, TaskState::Submitted),
        ("2", 10, TaskState::Submitted),
        ("3", 20, TaskState::Working),
        ("4", 5, TaskState::InputRequired),
        ("5", 1, TaskState::Completed),
    ] {
        log.append(step(&key("t", task), 0, 1).agent("agent").at(at).state(state)).await.unwrap();
    }
    log.append(step(&key("u", "1"), 0, 1).agent("agent").at(20).state(TaskState::Submitted)).await.unwrap();
    log.append(step(&key("t", "9"), 0, 1).agent("other").at(1).state(TaskState::Submitted)).await.unwrap();
    arrivals.changed().await.unwrap();
    let queue = log.queue(&agent, 10).await.unwrap();
    let order: Vec<_> = queue.iter().map(|head| head.key.to_string()).collect();
    assert_eq!(order, [key("t", "2"), key("u", "1"), key("t", "1")].map(|key| key.to_string()));
    assert_eq!(log.queue(&agent, 1).await.unwrap().len(), 1);
    let expected = Pressure { queued: 3, oldest_queued: Some(Timestamp(10)), working: 1, waiting: 1 };
    assert_eq!(log.pressure(&agent).await.unwrap(), expected);
    log.append(step(&key("t", "2"), 1, 1).agent("agent").at(40).state(TaskState::Working)).await.unwrap();
    log.append(step(&key("t", "3"), 1, 1).agent("agent").at(41).state(TaskState::Failed)).await.unwrap();
    let expected = Pressure { queued: 2, oldest_queued: Some(Timestamp(20)), working: 1, waiting: 1 };
    assert_eq!(log.pressure(&agent).await.unwrap(), expected);
}
