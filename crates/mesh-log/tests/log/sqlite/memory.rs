//! What is held in memory is bounded, and enough for those who keep up.

use super::Place;
use crate::build::{assert_events, key, read_all, step};
use mesh_log::{EventLog, ReadLimit, SqliteOptions, TailCache};
use std::sync::Arc;

#[tokio::test]
async fn who_keeps_up_is_served_without_the_disk() {
    let place = Place::new();
    let log = Arc::new(place.open());
    let key = key("t", "1");
    log.append(step(&key, 0, 1)).await.unwrap();
    let mut tail = log.tail(&key).await.unwrap();
    let mut position = *tail.borrow_and_update();
    while position < 200 {
        log.append(step(&key, position, 1 + position % 3)).await.unwrap();
        tail.changed().await.unwrap();
        let last = *tail.borrow_and_update();
        let events = log.read(&key, position, ReadLimit::default()).await.unwrap();
        assert_events(&events, &key, position + 1, last);
        position = last;
    }
    assert_eq!(log.usage().disk_reads, 0);
}

#[tokio::test]
async fn a_slow_reader_costs_no_memory_that_grows_with_its_lag() {
    let bounds = TailCache { task_events: 50, task_bytes: 8 << 10, total_bytes: 32 << 10 };
    let place = Place::new();
    let log = place.open_with(SqliteOptions { tail_cache: bounds, ..Default::default() });
    let (slow, other) = (key("t", "slow"), key("t", "other"));
    log.append(step(&slow, 0, 1)).await.unwrap();
    let tail = log.tail(&slow).await.unwrap();
    for n in 0..500 {
        log.append(step(&slow, 1 + n * 20, 20)).await.unwrap();
        log.append(step(&other, n, 1)).await.unwrap();
        let usage = log.usage();
        assert!(usage.cached_bytes <= 2 * bounds.task_bytes + 1024, "{usage:?}");
        assert!(usage.cached_events <= 2 * bounds.task_events, "{usage:?}");
        assert_eq!(usage.tails, 1);
    }
    assert_eq!(*tail.borrow(), 10_001);
    let limit = ReadLimit::new(100, 1 << 20);
    assert_events(&read_all(&log, &slow, 1, limit).await, &slow, 2, 10_001);
}

#[tokio::test]
async fn the_cache_of_all_tasks_together_is_bounded() {
    let bounds = TailCache { task_events: 50, task_bytes: 8 << 10, total_bytes: 16 << 10 };
    let place = Place::new();
    let log = place.open_with(SqliteOptions { tail_cache: bounds, ..Default::default() });
    let keys: Vec<_> = (0..100).map(|n| key("t", &n.to_string())).collect();
    for key in &keys {
        log.append(step(key, 0, 10)).await.unwrap();
        assert!(log.usage().cached_bytes <= bounds.total_bytes, "{:?}", log.usage());
    }
    assert!(log.usage().cached_tasks < 20, "{:?}", log.usage());
    for key in &keys {
        assert_events(&read_all(&log, key, 0, ReadLimit::default()).await, key, 1, 10);
    }
}

#[tokio::test]
async fn a_tail_that_is_dropped_is_freed() {
    let place = Place::new();
    let log = place.open();
    let kept: Vec<_> = {
        let mut kept = Vec::new();
        for n in 0..5000 {
            let tail = log.tail(&key("t", &n.to_string())).await.unwrap();
            if n % 100 == 0 {
                kept.push(tail);
            }
        }
        kept
    };
    assert!(log.usage().tails <= 2 * kept.len() + 64, "{:?}", log.usage());
    log.append(step(&key("t", "4900"), 0, 1)).await.unwrap();
    assert_eq!(*kept[49].borrow(), 1);
}
