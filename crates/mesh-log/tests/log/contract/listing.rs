//! What a listing and a restart see.

use crate::build::{With, all, key, step};
use mesh_core::model::TaskState;
use mesh_core::{TaskKey, Timestamp};
use mesh_log::{EventLog, ListQuery, PageCursor};
use std::sync::Arc;

type Log = Arc<dyn EventLog>;

async fn names(log: &Log, query: ListQuery) -> Vec<String> {
    let page = log.list(query).await.unwrap();
    assert_eq!((page.total, page.next), (page.heads.len() as u64, None));
    page.heads.iter().map(|head| head.key.task.to_string()).collect()
}

/// Every page, with the given number of heads on each.
async fn pages(log: &Log, mut query: ListQuery, limit: usize) -> Vec<TaskKey> {
    query.limit = limit;
    let mut keys = Vec::new();
    loop {
        let page = log.list(query.clone()).await.unwrap();
        assert!(page.heads.len() == limit || page.next.is_none());
        keys.extend(page.heads.into_iter().map(|head| head.key));
        match page.next {
            Some(next) => query.after = Some(next),
            None => {
                assert_eq!(page.total, keys.len() as u64);
                return keys;
            }
        }
    }
}

pub(crate) async fn a_listing_is_ordered_by_status_time_and_then_by_id(log: Log) {
    for (task, at) in [("a", 3), ("b", 1), ("c", 3), ("d", 2), ("e", -1)] {
        log.append(step(&key("t", task), 0, 1).at(at)).await.unwrap();
    }
    assert_eq!(names(&log, all("t")).await, ["c", "a", "d", "b", "e"]);
    log.append(step(&key("t", "b"), 1, 1).at(9)).await.unwrap();
    assert_eq!(names(&log, all("t")).await, ["b", "c", "a", "d", "e"]);
}

pub(crate) async fn every_filter_narrows_a_listing(log: Log) {
    for (task, owner, agent, context, state, at) in [
        ("a", "ann", "sales", "x", TaskState::Working, 1),
        ("b", "bob", "sales", "x", TaskState::Completed, 2),
        ("c", "ann", "legal", "y", TaskState::Completed, 3),
        ("d", "ann", "sales", "y", TaskState::Working, 4),
    ] {
        let append =
            step(&key("t", task), 0, 1).owner(owner).agent(agent).context(context).state(state).at(at);
        log.append(append).await.unwrap();
    }
    let t = || all("t");
    assert_eq!(names(&log, ListQuery { owner: Some("ann".into()), ..t() }).await, ["d", "c", "a"]);
    assert_eq!(names(&log, ListQuery { agent: Some("sales".into()), ..t() }).await, ["d", "b", "a"]);
    assert_eq!(names(&log, ListQuery { context_id: Some("x".into()), ..t() }).await, ["b", "a"]);
    assert_eq!(names(&log, ListQuery { state: Some(TaskState::Completed), ..t() }).await, ["c", "b"]);
    assert_eq!(names(&log, ListQuery { status_at_or_after: Some(Timestamp(3)), ..t() }).await, ["d", "c"]);
    let narrow = ListQuery { owner: Some("ann".into()), context_id: Some("y".into()), ..t() };
    assert_eq!(names(&log, ListQuery { state: Some(TaskState::Working), ..narrow.clone() }).await, ["d"]);
    let one = ListQuery { agent: Some("sales".into()), limit: 1, ..narrow };
    assert_eq!(names(&log, one).await, ["d"]);
    assert_eq!(names(&log, ListQuery { owner: Some("eve".into()), ..t() }).await, [""; 0]);
    let page = log.list(ListQuery { owner: Some("ann".into()), limit: 2, ..t() }).await.unwrap();
    assert_eq!((page.heads.len(), page.total), (2, 3));
    assert_eq!(page.next, Some(PageCursor { status_at: Timestamp(3), task: "c".into() }));
}

pub(crate) async fn pages_of_equal_times_neither_repeat_nor_miss_a_task(log: Log) {
    for n in 0..25 {
        log.append(step(&key("t", &format!("{n:02}")), 0, 1).at(n / 10)).await.unwrap();
    }
    let expected: Vec<TaskKey> = (0..25).rev().map(|n| key("t", &format!("{n:02}"))).collect();
    for limit in [1, 2, 5, 7, 24, 25, 26] {
        assert_eq!(pages(&log, all("t"), limit).await, expected);
        assert_eq!(pages(&log, ListQuery { owner: Some("local".into()), ..all("t") }, limit).await, expected);
        assert_eq!(
            pages(&log, ListQuery { context_id: Some("context".into()), ..all("t") }, limit).await,
            expected
        );
    }
}

pub(crate) async fn a_task_that_moves_between_two_pages_disturbs_no_other(log: Log) {
    for n in 0..10 {
        log.append(step(&key("t", &n.to_string()), 0, 1).at(n)).await.unwrap();
    }
    let first = log.list(ListQuery { limit: 5, ..all("t") }).await.unwrap();
    log.append(step(&key("t", "3"), 1, 1).at(100)).await.unwrap();
    log.append(step(&key("t", "new"), 0, 1).at(101)).await.unwrap();
    let second = log.list(ListQuery { after: first.next, ..all("t") }).await.unwrap();
    let names: Vec<_> = second.heads.iter().map(|head| head.key.task.as_str()).collect();
    assert_eq!(names, ["4", "2", "1", "0"]);
    assert_eq!(second.total, 11);
}

pub(crate) async fn unfinished_tasks_are_paged_oldest_first_over_all_tenants(log: Log) {
    let states = TaskState::ALL.into_iter().cycle();
    let mut expected = Vec::new();
    for (n, state) in (0..32).zip(states) {
        let key = key(["t", "u"][n % 2], &format!("{:02}", n / 2));
        let agent = ["sales", "legal"][n / 16];
        if agent == "sales" && !state.is_terminal() {
            expected.push(key.clone());
        }
        log.append(step(&key, 0, 1).agent(agent).state(state)).await.unwrap();
    }
    let sales = "sales".into();
    for limit in [1, 2, 3, 100] {
        let mut keys: Vec<TaskKey> = Vec::new();
        loop {
            let page = log.unfinished(&sales, keys.last(), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            keys.extend(page.into_iter().map(|head| head.key));
        }
        assert_eq!(keys, expected, "in pages of {limit}");
    }
    log.append(step(&expected[0], 1, 1).state(TaskState::Completed)).await.unwrap();
    let rest = log.unfinished(&sales, None, 100).await.unwrap();
    assert_eq!(rest.len(), expected.len() - 1);
    // Where a page ended stays a position, also when its task has ended since.
    let second = log.unfinished(&sales, Some(&expected[0]), 1).await.unwrap();
    assert_eq!(second[0].key, expected[1]);
    assert!(log.unfinished(&"nobody".into(), None, 9).await.unwrap().is_empty());
}
