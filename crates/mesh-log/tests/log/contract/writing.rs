//! Promises 1 (order), 2 (atomicity), 6 (tenants), 7 (idempotence), 8 (errors) and closing.

use crate::build::{With, all, assert_whole, is_conflict, key, read_all, step};
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{ContextId, Timestamp};
use mesh_log::{AppendError, EventLog, LogError, ReadLimit};
use std::sync::Arc;
use tokio::task::JoinSet;

type Log = Arc<dyn EventLog>;

pub(crate) async fn events_are_numbered_from_one_without_a_gap(log: Log) {
    let key = key("t", "1");
    assert_eq!(log.append(step(&key, 0, 2)).await.unwrap(), 2);
    assert_eq!(log.append(step(&key, 2, 1)).await.unwrap(), 3);
    assert_eq!(log.append(step(&key, 3, 5)).await.unwrap(), 8);
    assert_whole(&*log, &key, 8).await;
}

pub(crate) async fn events_come_back_byte_for_byte(log: Log) {
    let key = key("t", "1");
    let contents = [Bytes::new(), Bytes::from_static(b"\0\xff\xfe{"), Bytes::from(vec![7; 3 << 20])];
    let mut append = step(&key, 0, 3);
    for (event, content) in append.events.iter_mut().zip(&contents) {
        event.public = content.clone();
        event.private = Some(content.clone());
    }
    let (state, context) = (TaskState::AuthRequired, ContextId::from("Zusammenhang ä\u{1f980}"));
    let append = append.state(state).at(-5).context(context.as_str());
    let control = append.head.control.clone();
    log.append(append).await.unwrap();
    for (event, content) in read_all(&*log, &key, 0, ReadLimit::default()).await.iter().zip(&contents) {
        assert!(event.public == content && event.private.as_ref() == Some(content));
    }
    let head = log.head(&key).await.unwrap().unwrap();
    assert_eq!((head.state, head.status_at, head.seq), (state, Timestamp(-5), 3));
    assert_eq!((head.context_id, head.control), (context, control));
}

pub(crate) async fn an_append_that_expects_another_number_conflicts_and_changes_nothing(log: Log) {
    let (one, none) = (key("t", "1"), key("t", "none"));
    log.append(step(&one, 0, 3)).await.unwrap();
    for wrong in [0, 1, 2, 4, 1000, u64::MAX - 9] {
        let mut append = step(&one, 0, 1).state(TaskState::Failed);
        append.expected_seq = wrong;
        assert!(is_conflict(&log.append(append).await, 3), "expected {wrong}");
    }
    assert!(is_conflict(&log.append(step(&none, 1, 1)).await, 0));
    assert_whole(&*log, &one, 3).await;
    assert_eq!(log.head(&one).await.unwrap().unwrap().state, TaskState::Working);
    assert_eq!(log.head(&none).await.unwrap(), None);
    assert_eq!(log.read(&none, 0, ReadLimit::default()).await.unwrap(), []);
    assert_eq!(log.append(step(&one, 3, 1)).await.unwrap(), 4);
}

pub(crate) async fn of_many_appends_with_the_same_expected_number_one_succeeds(log: Log) {
    let key = key("t", "1");
    for round in 0..20 {
        let mut racing = JoinSet::new();
        for _ in 0..8 {
            let (log, append) = (Arc::clone(&log), step(&key, round, 1));
            racing.spawn(async move { log.append(append).await });
        }
        let outcomes = racing.join_all().await;
        assert_eq!(
            outcomes.iter().filter(|outcome| matches!(outcome, Ok(seq) if *seq == round + 1)).count(),
            1
        );
        assert_eq!(outcomes.iter().filter(|outcome| is_conflict(outcome, round + 1)).count(), 7);
    }
    assert_whole(&*log, &key, 20).await;
}

pub(crate) async fn concurrent_appends_to_many_tasks_leave_each_without_a_gap(log: Log) {
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            let key = key("t", &n.to_string());
            let mut seq = 0;
            for count in [1, 3, 2, 1, 4, 2] {
                seq = log.append(step(&key, seq, count)).await.unwrap();
            }
            (key, seq)
        });
    }
    for (key, seq) in writers.join_all().await {
        assert_eq!(seq, 13);
        assert_whole(&*log, &key, seq).await;
    }
    assert_eq!(log.list(all("t")).await.unwrap().total, 64);
}

pub(crate) async fn the_head_and_the_events_of_an_append_are_seen_together(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 1)).await.unwrap();
    let writer = tokio::spawn({
        let (log, key) = (Arc::clone(&log), key.clone());
        async move {
            let mut seq = 1;
            while seq < 200 {
                seq = log.append(step(&key, seq, 1 + seq % 3)).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let before = read_all(&*log, &key, 0, ReadLimit::default()).await.len() as u64;
        let head = log.head(&key).await.unwrap().unwrap();
        let after = read_all(&*log, &key, 0, ReadLimit::default()).await.len() as u64;
        assert_eq!(head.seq, u64::from(head.control.attempts), "the head is of one append");
        assert!(before <= head.seq && head.seq <= after, "{before} <= {} <= {after}", head.seq);
    }
    writer.await.unwrap();
}

pub(crate) async fn an_append_without_events_changes_only_the_head(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 2)).await.unwrap();
    let seq = log.append(step(&key, 2, 0).state(TaskState::Canceled).at(5_000)).await.unwrap();
    assert_eq!(seq, 2);
    assert_whole(&*log, &key, 2).await;
    let head = log.head(&key).await.unwrap().unwrap();
    assert_eq!((head.state, head.status_at), (TaskState::Canceled, Timestamp(5_000)));
    assert!(is_conflict(&log.append(step(&key, 1, 0)).await, 2));
}

pub(crate) async fn a_task_begins_with_an_event(log: Log) {
    let key = key("t", "1");
    let outcome = log.append(step(&key, 0, 0).creates("m")).await;
    assert!(matches!(outcome, Err(AppendError::Log(LogError::Failed(_)))), "{outcome:?}");
    assert_eq!(log.head(&key).await.unwrap(), None);
    log.append(step(&key, 0, 1).creates("m")).await.unwrap();
}

pub(crate) async fn a_message_creates_one_task_per_tenant_owner_and_agent(log: Log) {
    let first = key("t", "first");
    log.append(step(&first, 0, 1).creates("m")).await.unwrap();
    for again in [key("t", "second"), first.clone()] {
        let outcome = log.append(step(&again, 0, 1).creates("m")).await;
        assert!(matches!(&outcome, Err(AppendError::Duplicate(task)) if *task == first.task), "{outcome:?}");
    }
    assert_eq!(log.head(&key("t", "second")).await.unwrap(), None);
    // The name is taken, by another message.
    assert!(is_conflict(&log.append(step(&first, 0, 1).creates("n")).await, 1));
    assert_eq!(
        log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"n".into()).await.unwrap(),
        None
    );

    log.append(step(&key("t", "3"), 0, 1).creates("m").owner("somebody")).await.unwrap();
    log.append(step(&key("t", "4"), 0, 1).creates("m").agent("marketing")).await.unwrap();
    log.append(step(&key("u", "5"), 0, 1).creates("m")).await.unwrap();
    log.append(step(&key("t", "6"), 0, 1)).await.unwrap();
    log.append(step(&key("t", "7"), 0, 1)).await.unwrap();
    for (tenant, owner, agent, task) in [
        ("t", "local", "sales", Some("first")),
        ("t", "somebody", "sales", Some("3")),
        ("t", "local", "marketing", Some("4")),
        ("u", "local", "sales", Some("5")),
        ("u", "somebody", "sales", None),
    ] {
        let found = log.created_by(&tenant.into(), &owner.into(), &agent.into(), &"m".into()).await.unwrap();
        assert_eq!(found, task.map(Into::into));
    }
    // Only the creation counts.
    log.append(step(&first, 1, 1).creates("later")).await.unwrap();
    let later = log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"later".into()).await.unwrap();
    assert_eq!(later, None);
}

pub(crate) async fn a_message_sent_many_times_at_once_creates_one_task(log: Log) {
    let mut racing = JoinSet::new();
    for n in 0..16 {
        let log = Arc::clone(&log);
        racing.spawn(async move { log.append(step(&key("t", &n.to_string()), 0, 2).creates("m")).await });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().flatten().count(), 1);
    let first = log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"m".into()).await.unwrap();
    for outcome in outcomes {
        if let Err(error) = outcome {
            assert!(
                matches!(&error, AppendError::Duplicate(task) if Some(task) == first.as_ref()),
                "{error}"
            );
        }
    }
    assert_eq!(log.list(all("t")).await.unwrap().total, 1);
}

pub(crate) async fn two_tenants_with_the_same_task_id_share_nothing(log: Log) {
    let (ours, theirs) = (key("ours", "1"), key("theirs", "1"));
    let mut tail = log.tail(&theirs).await.unwrap();
    log.append(step(&ours, 0, 3).creates("m")).await.unwrap();
    assert_eq!(log.head(&theirs).await.unwrap(), None);
    assert_eq!(log.read(&theirs, 0, ReadLimit::default()).await.unwrap(), []);
    assert_eq!(*tail.borrow_and_update(), 0);
    assert_eq!(log.list(all("theirs")).await.unwrap().total, 0);
    let message =
        log.created_by(&"theirs".into(), &"local".into(), &"sales".into(), &"m".into()).await.unwrap();
    assert_eq!(message, None);
    assert!(is_conflict(&log.append(step(&theirs, 3, 1)).await, 0));

    log.append(step(&theirs, 0, 1).creates("m")).await.unwrap();
    tail.changed().await.unwrap();
    assert_eq!(*tail.borrow_and_update(), 1);
    assert_whole(&*log, &ours, 3).await;
    assert_whole(&*log, &theirs, 1).await;
}

pub(crate) async fn after_close_everything_accepted_is_written_and_nothing_more_is_taken(log: Log) {
    let mut appends = JoinSet::new();
    for n in 0..32 {
        let log = Arc::clone(&log);
        appends.spawn(async move { log.append(step(&key("t", &n.to_string()), 0, 1)).await });
    }
    log.append(step(&key("t", "before"), 0, 1)).await.unwrap();
    tokio::join!(log.close(), log.close());
    for outcome in appends.join_all().await {
        assert!(matches!(outcome, Ok(1) | Err(AppendError::Log(LogError::Closed))), "{outcome:?}");
    }
    let key = key("t", "before");
    assert!(matches!(log.append(step(&key, 1, 1)).await, Err(AppendError::Log(LogError::Closed))));
    assert!(matches!(log.read(&key, 0, ReadLimit::default()).await, Err(LogError::Closed)));
    assert!(matches!(log.head(&key).await, Err(LogError::Closed)));
    assert!(matches!(log.tail(&key).await, Err(LogError::Closed)));
    assert!(matches!(log.list(all("t")).await, Err(LogError::Closed)));
    assert!(matches!(log.unfinished(&"sales".into(), None, 9).await, Err(LogError::Closed)));
    let message = log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"m".into()).await;
    assert!(matches!(message, Err(LogError::Closed)));
    log.close().await;
}
