//! No space left.

use super::Place;
use crate::build::{With, all, assert_whole, key, step};
use bytes::Bytes;
use mesh_core::{Seq, TaskKey};
use mesh_log::{Append, AppendError, EventLog, LogError, SqliteLog, SqliteOptions};
use std::path::PathBuf;

/// Appends until the store is full; returns where the task is.
async fn fill(log: &SqliteLog, key: &TaskKey) -> Seq {
    let mut seq = 0;
    loop {
        match log.append(heavy(step(key, seq, 3))).await {
            Ok(last) => seq = last,
            Err(AppendError::Log(LogError::Full(why))) => {
                assert!(why.contains("space"), "{why}");
                return seq;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The same events with a heavy message id beside them, so that it takes few to fill a disk.
fn heavy(append: Append) -> Append {
    let control_text = "x".repeat(20_000);
    let mut append = append;
    append.head.control.received = vec![control_text.into()];
    for event in &mut append.events {
        event.private = event.private.take().map(|private| {
            let mut text = private.to_vec();
            text.resize(50_000, b' ');
            Bytes::from(text)
        });
    }
    append
}

async fn assert_readable(log: &SqliteLog, key: &TaskKey, last: Seq) {
    let head = log.head(key).await.unwrap().unwrap();
    assert_eq!((head.seq, u64::from(head.control.attempts)), (last, last));
    let events = crate::build::read_all(log, key, 0, Default::default()).await;
    assert_eq!(events.len() as u64, last);
    assert!(events.iter().all(|event| event.public == crate::build::content(key, event.seq)));
    assert_eq!(*log.tail(key).await.unwrap().borrow(), last);
    assert_eq!(log.list(all(key.tenant.as_str())).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_store_that_has_reached_its_size_is_read_as_before_and_grows_again_when_it_may() {
    let place = Place::new();
    let key = key("t", "1");
    let small = SqliteOptions { max_bytes: 1 << 20, ..Default::default() };
    let log = place.open_with(small.clone());
    let seq = fill(&log, &key).await;
    assert!(seq > 10);
    assert_readable(&log, &key, seq).await;
    // Again, and with another task: nothing has changed.
    assert!(log.append(heavy(step(&key, seq, 3))).await.is_err());
    assert!(log.append(heavy(step(&self::key("t", "2"), 0, 300)).creates("m")).await.is_err());
    assert_eq!(
        log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"m".into()).await.unwrap(),
        None
    );
    assert_readable(&log, &key, seq).await;
    log.close().await;

    let log = place.open_with(small);
    assert_readable(&log, &key, seq).await;
    drop(log);
    let log = place.open();
    assert_eq!(log.append(heavy(step(&key, seq, 3))).await.unwrap(), seq + 3);
    assert_readable(&log, &key, seq + 3).await;
}

/// On a disk that is really full: SQLite's own files have no room either. To run it:
/// `mount -t tmpfs -o size=4m none DIRECTORY; MESH_SMALL_DIRECTORY=DIRECTORY cargo test -p mesh-log -- --ignored disk`
#[tokio::test]
#[ignore = "needs MESH_SMALL_DIRECTORY, on an empty file system of a few MiB"]
async fn on_a_full_disk_everything_recorded_is_read_and_appends_go_on_once_there_is_room() {
    let Ok(directory) = std::env::var("MESH_SMALL_DIRECTORY") else { return };
    let directory = PathBuf::from(directory);
    let ballast = [directory.join("ballast-1"), directory.join("ballast-2")];
    for file in &ballast {
        std::fs::write(file, vec![0; 1 << 20]).unwrap();
    }
    let log = SqliteLog::open(&directory.join("tasks.db"), SqliteOptions::default()).unwrap();
    let key = key("t", "1");
    let seq = fill(&log, &key).await;
    assert_readable(&log, &key, seq).await;
    assert!(log.append(heavy(step(&key, seq, 3))).await.is_err());
    assert_readable(&log, &key, seq).await;
    std::fs::remove_file(&ballast[0]).unwrap();
    assert_eq!(log.append(heavy(step(&key, seq, 3))).await.unwrap(), seq + 3);
    assert_readable(&log, &key, seq + 3).await;
    log.close().await;
    let log = SqliteLog::open(&directory.join("tasks.db"), SqliteOptions::default()).unwrap();
    assert_readable(&log, &key, seq + 3).await;
    std::fs::remove_file(&ballast[1]).unwrap();
    let other = self::key("u", "1");
    log.append(step(&other, 0, 1)).await.unwrap();
    assert_whole(&log, &other, 1).await;
}
