//! Group commit, and what becomes of one append among others. The writer is held until everything is queued.

use super::{Hold, Place};
use crate::build::{With, all, assert_whole, is_conflict, key, step};
use bytes::Bytes;
use mesh_core::Seq;
use mesh_log::{Append, AppendError, EventLog, LogError, SqliteLog, SqliteOptions};
use std::sync::Arc;
use tokio::task::{JoinHandle, yield_now};

type Outcome = Result<Seq, AppendError>;

/// Queues all appends, in order, behind a writer that is held; then lets it go.
async fn together(log: &Arc<SqliteLog>, hold: Hold, appends: Vec<Append>) -> Vec<Outcome> {
    let running: Vec<_> = appends.into_iter().map(|append| spawn(log, append)).collect();
    // The runtime has one thread, and runs some of the others each time: after as many turns, each has queued its append.
    for _ in 0..running.len() {
        yield_now().await;
    }
    drop(hold);
    let mut outcomes = Vec::new();
    for append in running {
        outcomes.push(append.await.unwrap());
    }
    outcomes
}

fn spawn(log: &Arc<SqliteLog>, append: Append) -> JoinHandle<Outcome> {
    let log = Arc::clone(log);
    tokio::spawn(async move { log.append(append).await })
}

#[tokio::test]
async fn everything_that_is_queued_shares_one_commit() {
    let place = Place::new();
    let log = Arc::new(place.open());
    let keys: Vec<_> = (0..64).map(|n| key("t", &n.to_string())).collect();
    let appends = keys.iter().map(|key| step(key, 0, 2)).collect();
    let outcomes = together(&log, place.hold(), appends).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(2))), "{outcomes:?}");
    assert_eq!((log.usage().appends, log.usage().commits), (64, 1));
    for key in keys {
        assert_whole(&*log, &key, 2).await;
    }
}

#[tokio::test]
async fn a_commit_takes_no_more_than_a_batch() {
    let place = Place::new();
    let log = Arc::new(place.open_with(SqliteOptions { batch: 10, ..Default::default() }));
    let appends = (0..35).map(|n| step(&key("t", &n.to_string()), 0, 1)).collect();
    together(&log, place.hold(), appends).await;
    assert_eq!((log.usage().appends, log.usage().commits), (35, 4));
}

#[tokio::test]
async fn a_refused_append_fails_nobody_else_in_its_batch() {
    let place = Place::new();
    let log = Arc::new(place.open());
    let (one, two) = (key("t", "1"), key("t", "2"));
    let outcomes = together(
        &log,
        place.hold(),
        vec![
            step(&one, 0, 1).creates("m"),
            step(&one, 0, 1),
            step(&one, 1, 2),
            step(&two, 0, 1).creates("m"),
            step(&one, 1, 1),
            step(&two, 0, 3),
            step(&two, 4, 1),
            step(&one, 3, 1),
        ],
    )
    .await;
    assert!(matches!(&outcomes[0], Ok(1)));
    assert!(is_conflict(&outcomes[1], 1));
    assert!(matches!(&outcomes[2], Ok(3)));
    assert!(matches!(&outcomes[3], Err(AppendError::Duplicate(task)) if *task == one.task));
    assert!(is_conflict(&outcomes[4], 3));
    assert!(matches!(&outcomes[5], Ok(3)));
    assert!(is_conflict(&outcomes[6], 3));
    assert!(matches!(&outcomes[7], Ok(4)));
    assert_eq!(log.usage().commits, 1);
    assert_whole(&*log, &one, 4).await;
    assert_whole(&*log, &two, 3).await;
}

#[tokio::test]
async fn an_append_that_the_store_cannot_take_fails_nobody_else_in_its_batch() {
    let place = Place::new();
    let log = Arc::new(place.open_with(SqliteOptions { max_bytes: 1 << 20, ..Default::default() }));
    let keys: Vec<_> = (0..8).map(|n| key("t", &n.to_string())).collect();
    for key in &keys {
        log.append(step(key, 0, 1)).await.unwrap();
    }
    let mut appends: Vec<_> = keys.iter().map(|key| step(key, 1, 1)).collect();
    appends[3].events[0].public = Bytes::from(vec![b'x'; 4 << 20]);
    appends.push(step(&keys[0], 2, 1));
    appends.push(step(&keys[0], 2, 1));
    let outcomes = together(&log, place.hold(), appends).await;
    assert!(matches!(&outcomes[3], Err(AppendError::Log(LogError::Full(_)))), "{:?}", outcomes[3]);
    assert!(is_conflict(&outcomes[9], 3));
    for (n, key) in keys.iter().enumerate() {
        let expected = [3, 2, 2, 1, 2, 2, 2, 2][n];
        assert_whole(&*log, key, expected).await;
        assert_eq!(*log.tail(key).await.unwrap().borrow(), expected);
        log.append(step(key, expected, 1)).await.unwrap();
    }
    assert_eq!(log.usage().queued_bytes, 0);
}

#[tokio::test]
async fn an_append_to_a_full_queue_is_refused_at_once_and_the_others_are_recorded() {
    let place = Place::new();
    let log = Arc::new(place.open_with(SqliteOptions { queue: 4, ..Default::default() }));
    let appends = (0..20).map(|n| step(&key("t", &n.to_string()), 0, 1)).collect();
    let outcomes = together(&log, place.hold(), appends).await;
    let accepted = outcomes.iter().flatten().count();
    // The writer may have had one in hand.
    assert!(accepted == 4 || accepted == 5, "{accepted}");
    let overloaded =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(AppendError::Log(LogError::Overloaded))));
    assert_eq!(overloaded.count(), 20 - accepted);
    assert_eq!(log.list(all("t")).await.unwrap().total, accepted as u64);
    log.append(step(&key("t", "after"), 0, 1)).await.unwrap();
    assert_eq!(log.usage().queued_bytes, 0);
}

#[tokio::test]
async fn the_bytes_in_the_queue_are_bounded_but_one_append_is_always_taken() {
    let place = Place::new();
    let log = Arc::new(place.open_with(SqliteOptions { queue_bytes: 16 << 10, ..Default::default() }));
    let large = |n: u32, size: usize| {
        let mut append = step(&key("t", &n.to_string()), 0, 1);
        append.events[0].public = Bytes::from(vec![b'x'; size]);
        append
    };
    log.append(large(0, 1 << 20)).await.unwrap();
    let outcomes =
        together(&log, place.hold(), vec![large(1, 10 << 10), large(2, 10 << 10), large(3, 10)]).await;
    assert!(matches!(outcomes[..], [Ok(1), Err(AppendError::Log(LogError::Overloaded)), Ok(1)]));
    assert_eq!(log.usage().queued_bytes, 0);
}

#[tokio::test]
async fn an_accepted_append_is_recorded_even_if_nobody_waits_for_it() {
    let place = Place::new();
    let log = Arc::new(place.open());
    let hold = place.hold();
    let append = spawn(&log, step(&key("t", "1"), 0, 1));
    yield_now().await;
    append.abort();
    drop(hold);
    log.append(step(&key("t", "2"), 0, 1)).await.unwrap();
    assert_whole(&*log, &key("t", "1"), 1).await;
}

#[tokio::test]
async fn what_is_queued_when_the_log_closes_or_is_dropped_is_written() {
    let place = Place::new();
    for (round, close) in [true, false].into_iter().enumerate() {
        let log = place.open();
        let hold = place.hold();
        let appends: Vec<_> =
            (0..8).map(|n| Box::pin(log.append(step(&key("t", &format!("{round}-{n}")), 0, 1)))).collect();
        let log = &log;
        for mut append in appends {
            // Polled once, and so queued; then given up.
            std::future::poll_fn(|context| {
                assert!(append.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        drop(hold);
        if close {
            log.close().await;
        }
    }
    assert_eq!(place.open().list(all("t")).await.unwrap().total, 16);
}
