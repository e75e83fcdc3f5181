//! Promises 4 (read what is acknowledged) and 5 (tail).

use crate::build::{assert_events, content, key, read_all, step};
use bytes::Bytes;
use mesh_core::{Seq, TaskKey};
use mesh_log::{EventLog, ReadLimit};
use std::sync::Arc;
use tokio::task::JoinSet;

type Log = Arc<dyn EventLog>;

pub(crate) async fn every_read_after_an_append_sees_it(log: Log) {
    let key = key("t", "1");
    for seq in 1..=100 {
        log.append(step(&key, seq - 1, 1)).await.unwrap();
        let last = log.read(&key, seq - 1, ReadLimit::default()).await.unwrap();
        assert_events(&last, &key, seq, seq);
        assert_eq!(log.head(&key).await.unwrap().unwrap().seq, seq);
    }
}

pub(crate) async fn reading_can_begin_at_any_number(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 300)).await.unwrap();
    log.append(step(&key, 300, 300)).await.unwrap();
    for after in [0, 1, 250, 299, 300, 301, 343, 344, 345, 599] {
        let rest = read_all(&*log, &key, after, ReadLimit::default()).await;
        assert_events(&rest, &key, after + 1, 600);
    }
    for beyond in [600, 601, u64::MAX - 1, u64::MAX] {
        assert_eq!(log.read(&key, beyond, ReadLimit::default()).await.unwrap(), []);
    }
}

pub(crate) async fn a_read_keeps_its_limits_but_returns_at_least_one_event(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 9)).await.unwrap();
    let size = crate::build::content(&key, 1).len();
    for (events, bytes, count) in [
        (4, 1 << 20, 4),
        (100, 3 * size, 3),
        (100, 3 * size - 1, 2),
        (100, 1, 1),
        (100, 0, 1),
        (0, 0, 1),
        (9, 9 * size, 9),
    ] {
        let read = log.read(&key, 0, ReadLimit::new(events, bytes)).await.unwrap();
        assert_events(&read, &key, 1, count);
    }
}

pub(crate) async fn who_does_not_want_some_events_gets_their_numbers_and_not_their_content(log: Log) {
    let key = key("t", "1");
    let large = Bytes::from(format!("{{\"large\":\"{}\"}}", "x".repeat(200_000)));
    let contents = [
        content(&key, 1),
        large.clone(),
        content(&key, 3),
        large,
        Bytes::from_static(b"{\"lar"),
        content(&key, 6),
    ];
    let mut append = step(&key, 0, 6);
    for (event, content) in append.events.iter_mut().zip(&contents) {
        event.public = content.clone();
    }
    log.append(append).await.unwrap();
    let whole = log.read(&key, 0, ReadLimit::new(6, 1 << 20)).await.unwrap();
    assert!(whole.iter().map(|event| &event.public).eq(&contents));
    for bytes in [1 << 20, 100] {
        let limit = ReadLimit { without: Some(b"{\"large\""), ..ReadLimit::new(6, bytes) };
        let events = read_all(&*log, &key, 0, limit).await;
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        for (event, whole) in events.iter().zip(&whole) {
            let wanted = if event.seq == 2 || event.seq == 4 { &Bytes::new() } else { &whole.public };
            assert_eq!((&event.public, &event.private), (wanted, &whole.private), "event {}", event.seq);
        }
    }
}

pub(crate) async fn a_tail_shows_the_last_number_and_grows_with_it(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 2)).await.unwrap();
    let mut first = log.tail(&key).await.unwrap();
    assert_eq!((*first.borrow(), first.has_changed().unwrap()), (2, false));
    log.append(step(&key, 2, 3)).await.unwrap();
    first.changed().await.unwrap();
    assert_eq!(*first.borrow_and_update(), 5);
    let second = log.tail(&key).await.unwrap();
    assert_eq!((*second.borrow(), second.has_changed().unwrap()), (5, false));
    assert!(log.append(step(&key, 2, 1)).await.is_err());
    log.append(step(&key, 5, 0)).await.unwrap();
    assert!(!first.has_changed().unwrap(), "neither an error nor an append without events moves the tail");
}

pub(crate) async fn the_tail_of_a_task_to_come_is_zero_until_it_comes(log: Log) {
    let key = key("t", "1");
    let mut tail = log.tail(&key).await.unwrap();
    assert_eq!(*tail.borrow_and_update(), 0);
    log.append(step(&key, 0, 1)).await.unwrap();
    tail.changed().await.unwrap();
    assert_eq!(*tail.borrow_and_update(), 1);
}

pub(crate) async fn a_tail_never_runs_ahead_of_read(log: Log) {
    let key = key("t", "1");
    let tail = log.tail(&key).await.unwrap();
    let writer = tokio::spawn(write(Arc::clone(&log), key.clone(), 300));
    while !writer.is_finished() {
        let promised = *tail.borrow();
        let visible = read_all(&*log, &key, 0, ReadLimit::default()).await.len() as u64;
        assert!(visible >= promised, "the tail says {promised}, a read returns {visible}");
        let joined = *log.tail(&key).await.unwrap().borrow();
        assert!(joined >= visible, "{visible} events were read, and then the tail says {joined}");
    }
    writer.await.unwrap();
    assert_eq!(*tail.borrow(), 300);
}

pub(crate) async fn followers_that_join_at_any_time_get_every_event_once_and_in_order(log: Log) {
    const LAST: Seq = 400;
    let key = key("t", "1");
    let writer = tokio::spawn(write(Arc::clone(&log), key.clone(), LAST));
    let mut followers = JoinSet::new();
    while !writer.is_finished() && followers.len() < 50 {
        // Each begins at its own number, the last ones at once where the task is.
        let after =
            log.head(&key).await.unwrap().map_or(0, |head| head.seq) * (followers.len() as u64 % 4) / 3;
        followers.spawn(follow(Arc::clone(&log), key.clone(), after, LAST));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    followers.spawn(follow(Arc::clone(&log), key.clone(), 0, LAST));
    followers.join_all().await;
}

pub(crate) async fn a_slow_reader_gets_ten_thousand_events_in_order(log: Log) {
    let key = key("t", "1");
    log.append(step(&key, 0, 1)).await.unwrap();
    let tail = log.tail(&key).await.unwrap();
    let behind = log.read(&key, 0, ReadLimit::new(1, 0)).await.unwrap();
    assert_events(&behind, &key, 1, 1);
    for n in 0..100 {
        log.append(step(&key, n * 100 + 1, 100)).await.unwrap();
    }
    assert_eq!(*tail.borrow(), 10_001);
    let rest = read_all(&*log, &key, 1, ReadLimit::new(37, 1 << 20)).await;
    assert_events(&rest, &key, 2, 10_001);
}

pub(crate) async fn followers_are_told_when_the_log_closes(log: Log) {
    let mut tail = log.tail(&key("t", "1")).await.unwrap();
    log.close().await;
    assert!(tail.changed().await.is_err());
}

async fn write(log: Log, key: TaskKey, last: Seq) {
    let mut seq = 0;
    while seq < last {
        let count = (1 + seq % 5).min(last - seq);
        seq = log.append(step(&key, seq, count)).await.unwrap();
    }
}

/// What every subscriber does: reads at its own position, and waits for the tail when there is nothing.
async fn follow(log: Log, key: TaskKey, after: Seq, last: Seq) {
    let mut tail = log.tail(&key).await.unwrap();
    let mut events = Vec::new();
    let mut position = after;
    while position < last {
        if *tail.borrow_and_update() <= position {
            tail.changed().await.unwrap();
            continue;
        }
        events.extend(log.read(&key, position, ReadLimit::new(7, 1 << 20)).await.unwrap());
        position = events.last().map_or(after, |event| event.seq);
    }
    assert_events(&events, &key, after + 1, last);
}
