//! Promise 10 (trimming).

use crate::build::{
    With, all, assert_gone, assert_trimmed, assert_whole, key, removed, snapshot, step, trimmed,
};
use mesh_core::model::TaskState;
use mesh_core::{Seq, TaskKey, Timestamp};
use mesh_log::{AppendError, Ended, EventLog, LogError, ReadLimit};
use std::sync::Arc;
use tokio::task::JoinSet;

type Log = Arc<dyn EventLog>;

/// A task with so many events that has ended.
async fn ended(log: &dyn EventLog, key: &TaskKey, last: Seq) {
    log.append(step(key, 0, last - 1).creates(key.task.as_str())).await.unwrap();
    log.append(step(key, last - 1, 1).state(TaskState::Completed)).await.unwrap();
}

pub(crate) async fn a_trimmed_task_has_its_snapshot_and_says_where_it_begins(log: Log) {
    let (one, other) = (key("t", "1"), key("t", "2"));
    ended(&*log, &one, 9).await;
    ended(&*log, &other, 9).await;
    let before = log.head(&one).await.unwrap().unwrap();
    assert_eq!(before.first, 1);
    assert_eq!(log.trim(vec![trimmed(&one, 9)]).await.unwrap(), std::slice::from_ref(&one));
    assert_trimmed(&*log, &one, 9).await;
    assert_whole(&*log, &other, 9).await;
    let page = log.list(all("t")).await.unwrap();
    assert_eq!((page.total, page.heads[1].first, page.heads[0].first), (2, 9, 1));
    let after = log.head(&one).await.unwrap().unwrap();
    assert_eq!(after, mesh_log::TaskHead { first: 9, ..before });
    // Once more changes nothing.
    assert_eq!(log.trim(vec![trimmed(&one, 9)]).await.unwrap(), []);
    assert_trimmed(&*log, &one, 9).await;
    let made = log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"1".into()).await.unwrap();
    assert_eq!(made, Some(one.task));
}

pub(crate) async fn a_trimmed_task_takes_no_more_events(log: Log) {
    let key = key("t", "1");
    ended(&*log, &key, 4).await;
    log.trim(vec![trimmed(&key, 4)]).await.unwrap();
    for count in [0, 1] {
        let outcome = log.append(step(&key, 4, count)).await;
        assert!(
            matches!(outcome, Err(AppendError::Log(LogError::Trimmed { first: 4 }))),
            "{count} events: {outcome:?}"
        );
    }
    assert!(crate::build::is_conflict(&log.append(step(&key, 3, 1)).await, 4));
    assert!(crate::build::is_conflict(&log.append(step(&key, 0, 1)).await, 4));
    assert_trimmed(&*log, &key, 4).await;
}

pub(crate) async fn a_removed_task_is_as_one_that_never_was(log: Log) {
    let keys: Vec<TaskKey> = ["1", "2", "3"].map(|task| key("t", task)).to_vec();
    for key in &keys {
        ended(&*log, key, 5).await;
    }
    log.trim(vec![trimmed(&keys[1], 5)]).await.unwrap();
    let mut gone = log.trim(vec![removed(&keys[0], 5), removed(&keys[1], 5)]).await.unwrap();
    gone.sort_unstable();
    assert_eq!(gone, keys[..2]);
    for key in &keys[..2] {
        assert_gone(&*log, key).await;
        assert!(crate::build::is_conflict(&log.append(step(key, 5, 1)).await, 0));
        let message = key.task.as_str().into();
        let made = log.created_by(&"t".into(), &"local".into(), &"sales".into(), &message).await.unwrap();
        assert_eq!(made, None);
    }
    assert_eq!(log.list(all("t")).await.unwrap().total, 1);
    assert_eq!(log.trim(vec![removed(&keys[0], 5), removed(&key("t", "none"), 5)]).await.unwrap(), []);
    assert_whole(&*log, &keys[2], 5).await;
}

pub(crate) async fn a_message_of_a_removed_task_can_create_again(log: Log) {
    let (first, second) = (key("t", "first"), key("t", "second"));
    for (task, round) in [(&first, 0), (&second, 1), (&first, 2), (&first, 3)] {
        log.append(step(task, 0, 2).creates("m")).await.unwrap();
        let again = log.append(step(&key("t", "again"), 0, 1).creates("m")).await;
        assert!(
            matches!(&again, Err(AppendError::Duplicate(made)) if *made == task.task),
            "{round}: {again:?}"
        );
        log.append(step(task, 2, 1).state(TaskState::Failed)).await.unwrap();
        assert_whole(&*log, task, 3).await;
        assert_eq!(log.trim(vec![removed(task, 3)]).await.unwrap().len(), 1);
        assert_gone(&*log, task).await;
    }
    // Without a message, too.
    for _ in 0..2 {
        log.append(step(&first, 0, 2).state(TaskState::Failed)).await.unwrap();
        log.trim(vec![removed(&first, 2)]).await.unwrap();
    }
    assert_eq!(log.list(all("t")).await.unwrap().total, 0);
}

pub(crate) async fn only_ended_tasks_at_the_named_event_are_trimmed(log: Log) {
    let (open, done, single) = (key("t", "open"), key("t", "done"), key("t", "single"));
    log.append(step(&open, 0, 3).state(TaskState::InputRequired)).await.unwrap();
    log.append(step(&single, 0, 1).state(TaskState::Rejected)).await.unwrap();
    ended(&*log, &done, 3).await;
    let asked = vec![
        trimmed(&open, 3),
        removed(&open, 3),
        trimmed(&done, 2),
        removed(&done, 4),
        trimmed(&single, 1),
        removed(&key("u", "done"), 3),
    ];
    assert_eq!(log.trim(asked).await.unwrap(), []);
    assert_whole(&*log, &open, 3).await;
    assert_whole(&*log, &done, 3).await;
    assert_whole(&*log, &single, 1).await;
}

pub(crate) async fn a_large_task_is_trimmed_in_one_step_and_its_room_is_given_back(log: Log) {
    const LAST: Seq = 5_001;
    let keys: Vec<TaskKey> = ["1", "2"].map(|task| key("t", task)).to_vec();
    for key in &keys {
        for n in 0..5 {
            log.append(step(key, n * 1_000, 1_000)).await.unwrap();
        }
        log.append(step(key, LAST - 1, 1).state(TaskState::Completed)).await.unwrap();
    }
    log.trim(vec![trimmed(&keys[0], LAST), removed(&keys[1], LAST)]).await.unwrap();
    let mut steps = 0;
    loop {
        assert_trimmed(&*log, &keys[0], LAST).await;
        assert_gone(&*log, &keys[1]).await;
        // A new task meets nothing of the old ones.
        let new = key("t", &format!("new-{steps}"));
        ended(&*log, &new, 3).await;
        assert_whole(&*log, &new, 3).await;
        steps += 1;
        assert!(steps < 1000, "an end");
        if !log.reclaim().await.unwrap() {
            break;
        }
    }
    assert_trimmed(&*log, &keys[0], LAST).await;
    ended(&*log, &keys[1], 3).await;
    assert_whole(&*log, &keys[1], 3).await;
}

pub(crate) async fn of_many_who_trim_a_task_one_does(log: Log) {
    for round in 0..10 {
        let key = key("t", &round.to_string());
        ended(&*log, &key, 20).await;
        let mut racing = JoinSet::new();
        for n in 0..8 {
            let (log, key) = (Arc::clone(&log), key.clone());
            let trim = if round % 2 == 0 || n < 7 { trimmed(&key, 20) } else { removed(&key, 20) };
            racing.spawn(async move { (trim.snapshot.is_none(), log.trim(vec![trim]).await.unwrap().len()) });
        }
        let outcomes = racing.join_all().await;
        let count = |removes| outcomes.iter().filter(|(of, n)| *of == removes && *n == 1).count();
        if round % 2 == 0 {
            assert_eq!(count(false), 1);
            assert_trimmed(&*log, &key, 20).await;
        } else {
            assert!(count(true) == 1 && count(false) <= 1, "{outcomes:?}");
            assert_gone(&*log, &key).await;
        }
    }
}

pub(crate) async fn who_reads_while_a_task_is_trimmed_gets_its_events_or_is_told(log: Log) {
    const LAST: Seq = 300;
    for round in 0..5 {
        let key = key("t", &round.to_string());
        ended(&*log, &key, LAST).await;
        let mut readers = JoinSet::new();
        for n in 0..8 {
            readers.spawn(read_slowly(Arc::clone(&log), key.clone(), LAST, 5 + n));
        }
        tokio::task::yield_now().await;
        log.trim(vec![trimmed(&key, LAST)]).await.unwrap();
        readers.join_all().await;
    }
}

/// Reads a few events at a time until there are no more, or until it is told that they are gone.
async fn read_slowly(log: Log, key: TaskKey, last: Seq, events: usize) {
    let mut position = 0;
    loop {
        match log.read(&key, position, ReadLimit::new(events, 1 << 20)).await {
            Ok(read) if read.is_empty() => return assert_eq!(position, last),
            Ok(read) => {
                for event in read {
                    assert_eq!(event.seq, position + 1);
                    position = event.seq;
                    let whole = event.public == crate::build::content(&key, event.seq);
                    assert!(whole || (position == last && event.public == snapshot(&key, last)));
                }
            }
            Err(LogError::Trimmed { first }) => return assert_eq!(first, last),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The names of the ended tasks that were found.
async fn found(log: &dyn EventLog, before: i64, which: Ended, limit: usize) -> Vec<String> {
    let heads = log.ended(&"sales".into(), Timestamp(before), which, limit).await.unwrap();
    heads.into_iter().map(|head| head.key.to_string()).collect()
}

pub(crate) async fn ended_tasks_are_listed_in_the_order_in_which_they_ended(log: Log) {
    for (tenant, task, at, state) in [
        ("t", "c", 30, TaskState::Completed),
        ("t", "a", 10, TaskState::Failed),
        ("t", "b", 20, TaskState::Canceled),
        ("u", "b", 20, TaskState::Rejected),
        ("t", "waits", 5, TaskState::InputRequired),
        ("t", "works", 5, TaskState::Working),
    ] {
        log.append(step(&key(tenant, task), 0, 2).state(state).at(at)).await.unwrap();
    }
    log.append(step(&key("t", "other"), 0, 2).agent("legal").state(TaskState::Failed).at(1)).await.unwrap();
    log.append(step(&key("t", "single"), 0, 1).state(TaskState::Failed).at(1)).await.unwrap();
    let whole = |after: Option<(i64, &str, &str)>| Ended::Whole {
        after: after.map(|(at, tenant, task)| (Timestamp(at), key(tenant, task))),
    };
    assert_eq!(found(&*log, 100, whole(None), 9).await, ["t/a", "t/b", "u/b", "t/c"]);
    assert_eq!(found(&*log, 30, whole(None), 9).await, ["t/a", "t/b", "u/b"]);
    assert_eq!(found(&*log, 100, whole(None), 2).await, ["t/a", "t/b"]);
    assert_eq!(found(&*log, 100, whole(Some((20, "t", "b"))), 9).await, ["u/b", "t/c"]);
    log.trim(vec![trimmed(&key("t", "b"), 2), removed(&key("t", "c"), 2)]).await.unwrap();
    assert_eq!(found(&*log, 100, whole(None), 9).await, ["t/a", "u/b"]);
    let everything = Ended::Beyond { keep: 0 };
    assert_eq!(found(&*log, 100, everything.clone(), 9).await, ["t/single", "t/a", "t/b", "u/b"]);
    assert_eq!(found(&*log, 20, everything, 9).await, ["t/single", "t/a"]);
}

pub(crate) async fn all_but_the_newest_ended_tasks_are_listed(log: Log) {
    for n in 0..10 {
        let key = key("t", &n.to_string());
        log.append(step(&key, 0, 2).state(TaskState::Completed).at(10 * n)).await.unwrap();
        if n % 3 == 0 {
            log.trim(vec![trimmed(&key, 2)]).await.unwrap();
        }
    }
    let beyond = |keep| Ended::Beyond { keep };
    assert_eq!(found(&*log, 1000, beyond(7), 9).await, ["t/0", "t/1", "t/2"]);
    assert_eq!(found(&*log, 1000, beyond(2), 3).await, ["t/0", "t/1", "t/2"]);
    assert_eq!(found(&*log, 20, beyond(7), 9).await, ["t/0", "t/1"]);
    for keep in [10, 11, u64::MAX] {
        assert!(found(&*log, 1000, beyond(keep), 9).await.is_empty());
    }
    assert_eq!(found(&*log, 1000, beyond(0), 100).await.len(), 10);
}
