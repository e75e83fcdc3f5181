//! Opening again, and files that are not to be opened.

use super::{Place, refusal};
use crate::build::{
    With, all, assert_events, assert_gone, assert_trimmed, assert_whole, content, key, read_all, removed,
    step, trimmed,
};
use bytes::Bytes;
use mesh_core::Timestamp;
use mesh_core::model::TaskState;
use mesh_log::{
    Durability, Ended, EventLog, Expect, LogError, ReadLimit, RecordKey, Space, SqliteLog, SqliteOptions,
};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn what_was_written_is_there_after_closing_dropping_and_opening_again() {
    let place = Place::new();
    let key = key("t", "1");
    for round in 0..6 {
        let durability = if round % 3 == 0 { Durability::Relaxed } else { Durability::Full };
        let log = place.open_with(SqliteOptions { durability, ..Default::default() });
        assert_eq!(*log.tail(&key).await.unwrap().borrow(), round * 2);
        log.append(step(&key, round * 2, 2)).await.unwrap();
        if round % 2 == 0 {
            log.close().await;
        }
        drop(log);
    }
    assert_whole(&place.open(), &key, 12).await;
}

#[tokio::test]
async fn the_files_and_new_directories_are_for_nobody_but_their_owner() {
    let place = Place::new();
    let directory = place.path().with_file_name("a").join("b");
    let log = SqliteLog::open(&directory.join("tasks.db"), SqliteOptions::default()).unwrap();
    log.append(step(&key("t", "1"), 0, 1)).await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(directory.parent().unwrap())), (0o700, 0o700));
    for name in ["tasks.db", "tasks.db-wal", "tasks.db-shm", "tasks.db.lock"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let place = Place::new();
    let log = place.open();
    let reason = refusal(&place.path());
    let process = std::process::id().to_string();
    assert!(reason.contains("in use") && reason.contains(&process) && reason.contains("stop it"), "{reason}");
    log.append(step(&key("t", "1"), 0, 1)).await.unwrap();
    log.close().await;
    // Closed is closed, though the log is not dropped yet.
    assert_whole(&place.open(), &key("t", "1"), 1).await;
    drop(log);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let place = Place::new();
    fs::write(place.path(), "dear diary\n".repeat(1000)).unwrap();
    let reason = refusal(&place.path());
    assert!(reason.contains("not a database") && reason.contains("another directory"), "{reason}");
    assert!(fs::read_to_string(place.path()).unwrap().starts_with("dear diary"));
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    let place = Place::new();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").unwrap();
    drop(other);
    let before = fs::read(place.path()).unwrap();
    let reason = refusal(&place.path());
    assert!(reason.contains("another program"), "{reason}");
    assert!(fs::read(place.path()).unwrap() == before);
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let place = Place::new();
    drop(place.open());
    Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let reason = refusal(&place.path());
    assert!(reason.contains("format 7") && reason.contains("the version that wrote it"), "{reason}");
}

#[tokio::test]
async fn a_store_whose_creation_was_interrupted_is_created() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    drop(place.open());
    fs::remove_file(place.path()).unwrap();
    // The mode is written before the schema.
    Connection::open(place.path()).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    assert!(fs::metadata(place.path()).unwrap().len() > 0);
    let log = place.open();
    log.append(step(&key("t", "1"), 0, 1)).await.unwrap();
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let error = SqliteLog::open(&place.path(), SqliteOptions::default()).unwrap_err();
    assert!(error.to_string().contains("tasks.db"), "{error}");
}

/// A store with some hundreds of pages, closed.
async fn filled(place: &Place) {
    let log = place.open();
    for n in 0..100 {
        log.append(step(&key("t", &n.to_string()), 0, 100)).await.unwrap();
    }
    log.close().await;
}

fn overwrite(place: &Place, page: usize, pages: usize) {
    const PAGE: usize = 4096;
    let mut bytes = fs::read(place.path()).unwrap();
    assert!(bytes.len() > (page + pages) * PAGE);
    bytes[page * PAGE..(page + pages) * PAGE].fill(0xA5);
    fs::write(place.path(), bytes).unwrap();
}

#[tokio::test]
async fn a_store_with_a_damaged_header_is_refused() {
    let place = Place::new();
    filled(&place).await;
    overwrite(&place, 0, 1);
    assert!(refusal(&place.path()).contains("not a database"));
}

#[tokio::test]
async fn a_store_with_a_damaged_page_is_refused() {
    let place = Place::new();
    filled(&place).await;
    let whole = fs::read(place.path()).unwrap();
    for page in (1..whole.len() / 4096 - 1).step_by(17) {
        fs::write(place.path(), &whole).unwrap();
        overwrite(&place, page, 1);
        let reason = refusal(&place.path());
        assert!(reason.contains("damaged") && reason.contains("backup"), "page {page}: {reason}");
    }
}

#[tokio::test]
async fn a_store_that_lacks_events_is_refused() {
    let place = Place::new();
    filled(&place).await;
    let connection = Connection::open(place.path()).unwrap();
    connection
        .execute("DELETE FROM events WHERE id = (SELECT id << 32 | 50 FROM heads WHERE task = '42')", ())
        .unwrap();
    drop(connection);
    let reason = refusal(&place.path());
    assert!(reason.contains("damaged") && reason.contains("t/42"), "{reason}");
}

#[tokio::test]
async fn damage_that_comes_while_the_store_is_open_is_an_error_and_never_a_wrong_event() {
    let place = Place::new();
    filled(&place).await;
    let log = place.open();
    let pages = fs::metadata(place.path()).unwrap().len() as usize / 4096;
    overwrite(&place, pages / 2, pages / 4);
    let (mut whole, mut refused) = (0, 0);
    for n in 0..100 {
        let key = key("t", &n.to_string());
        match log.read(&key, 0, ReadLimit::default()).await {
            Ok(events) => {
                assert_events(&events, &key, 1, 100);
                whole += 1;
            }
            Err(LogError::Refused { reason, .. }) => {
                assert!(reason.contains("damaged"), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(whole > 0 && refused > 0, "{whole} tasks whole, {refused} refused");
}

/// A loss of power leaves any part of what was not synced, and in the write-ahead log that is its end.
#[tokio::test]
async fn whatever_end_of_the_write_ahead_log_is_lost_every_append_is_whole_or_gone() {
    let place = Place::new();
    let log = place.open();
    let keys: Vec<_> = (0..5).map(|n| key("t", &n.to_string())).collect();
    for round in 0..12 {
        for key in &keys {
            log.append(step(key, round * 3, 3)).await.unwrap();
        }
    }
    let (file, wal) =
        (fs::read(place.path()).unwrap(), fs::read(place.path().with_extension("db-wal")).unwrap());
    let mut before = 0;
    for part in 0..=40 {
        let kept = wal.len() * part / 40 + part % 7;
        let copy = Place::new();
        fs::write(copy.path(), &file).unwrap();
        let mut torn = wal[..kept.min(wal.len())].to_vec();
        torn.extend(vec![0x5A; part * 100]);
        fs::write(copy.path().with_extension("db-wal"), torn).unwrap();
        let log = copy.open();
        let mut total = 0;
        for head in log.list(all("t")).await.unwrap().heads {
            assert_eq!(head.seq % 3, 0, "an append is whole");
            assert_whole(&log, &head.key, head.seq).await;
            total += head.seq;
        }
        assert!(total >= before, "the longer the log, the more is there");
        before = total;
    }
    assert_eq!(before, 5 * 36);
    assert_eq!(read_all(&log, &keys[0], 35, ReadLimit::default()).await[0].public, content(&keys[0], 36));
}

/// A store as an earlier version left it: without what later versions added.
pub(super) fn age(path: &std::path::Path, format: i32) {
    let file = Connection::open(path).unwrap();
    file.execute_batch("DROP INDEX heads_ended; ALTER TABLE heads DROP COLUMN first; DROP TABLE discarded;")
        .unwrap();
    if format < 3 {
        file.execute_batch("DROP TRIGGER bodies_go; DROP TABLE bodies; ALTER TABLE events DROP COLUMN size;")
            .unwrap();
    }
    if format < 2 {
        file.execute_batch("DROP TABLE records; DROP TABLE versions;").unwrap();
    }
    file.pragma_update(None, "user_version", format).unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_date_and_keeps_its_tasks() {
    let place = Place::new();
    let log = place.open();
    log.append(step(&key("t", "1"), 0, 20)).await.unwrap();
    log.close().await;
    age(&place.path(), 1);
    let log = place.open();
    assert_whole(&log, &key("t", "1"), 20).await;
    let record = RecordKey::new(Space::Context, "t".into(), "a");
    let version = log.records().put(&record, "1".into(), Expect::Nothing).await.unwrap();
    log.close().await;
    let log = place.open();
    let found = log.records().get(&record).await.unwrap().unwrap();
    assert_eq!((found.version, &found.value[..]), (version, &b"1"[..]));
    log.records().delete(&record, Expect::Version(version)).await.unwrap();
    log.close().await;
    let log = place.open();
    assert!(log.records().put(&record, "2".into(), Expect::Nothing).await.unwrap() > version);
}

#[tokio::test]
async fn a_store_of_the_second_version_is_brought_up_to_date_and_can_be_trimmed() {
    let place = Place::new();
    let (one, other) = (key("t", "1"), key("t", "2"));
    let log = place.open();
    for key in [&one, &other] {
        log.append(step(key, 0, 20).creates("m").agent(key.task.as_str())).await.unwrap();
        log.append(step(key, 20, 1).agent(key.task.as_str()).state(TaskState::Completed)).await.unwrap();
    }
    log.close().await;
    age(&place.path(), 2);
    let log = place.open();
    assert_whole(&log, &one, 21).await;
    let ended = log.ended(&"1".into(), Timestamp(2_000), Ended::Whole { after: None }, 9).await.unwrap();
    assert_eq!(ended.iter().map(|head| (&head.key, head.first)).collect::<Vec<_>>(), [(&one, 1)]);
    assert_eq!(log.trim(vec![trimmed(&one, 21), removed(&other, 21)]).await.unwrap().len(), 2);
    log.close().await;
    let log = place.open();
    assert_trimmed(&log, &one, 21).await;
    assert_gone(&log, &other).await;
}

/// However much of it was trimmed, a store is sound; and what a step had no room for is deleted after the next opening.
#[tokio::test]
async fn a_store_with_discarded_events_is_opened_and_goes_on_discarding() {
    let place = Place::new();
    let log = place.open();
    let (kept, gone) = (key("t", "kept"), key("t", "gone"));
    for key in [&kept, &gone] {
        for n in 0..3 {
            log.append(step(key, n * 1000, 1000)).await.unwrap();
        }
        log.append(step(key, 3000, 1).state(TaskState::Completed)).await.unwrap();
    }
    let count = |table: &str| -> i64 {
        let file = Connection::open(place.path()).unwrap();
        file.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
    };
    log.trim(vec![trimmed(&kept, 3001), removed(&gone, 3001)]).await.unwrap();
    assert!(count("events") > 4000, "the first step is small");
    log.close().await;
    let log = place.open();
    assert_trimmed(&log, &kept, 3001).await;
    assert_gone(&log, &gone).await;
    // The row of the task that is gone is not used again before its events are.
    log.append(step(&gone, 0, 2)).await.unwrap();
    assert!(log.reclaim().await.unwrap());
    log.close().await;
    let log = place.open();
    while log.reclaim().await.unwrap() {}
    assert_eq!((count("events"), count("discarded")), (3, 0));
    assert_trimmed(&log, &kept, 3001).await;
    assert_whole(&log, &gone, 2).await;
}

#[tokio::test]
async fn room_that_was_freed_goes_back_to_the_file_system_in_steps() {
    let place = Place::new();
    let log = place.open();
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    for n in 0..20 {
        let key = key("t", &n.to_string());
        let mut append = step(&key, 0, 1).state(TaskState::Completed);
        append.events[0].public = big.clone();
        log.append(append).await.unwrap();
    }
    let pages = |pragma: &str| -> i64 {
        Connection::open(place.path()).unwrap().pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
    };
    let before = pages("page_count");
    for n in 0..19 {
        log.trim(vec![removed(&key("t", &n.to_string()), 1)]).await.unwrap();
    }
    let mut steps = 0;
    while log.reclaim().await.unwrap() {
        steps += 1;
    }
    let (after, free) = (pages("page_count"), pages("freelist_count"));
    assert!(steps > 5 && after < before / 2, "{before} pages, then {after} after {steps} steps");
    assert!((1..=1024).contains(&free), "{free} free pages are kept for what comes next");
    log.close().await;
    let kept = place.open().read(&key("t", "19"), 0, ReadLimit::default()).await.unwrap();
    assert_eq!(kept[0].public, big);
    let size = fs::metadata(place.path()).unwrap().len();
    assert!(size < 10 << 20, "the file has {size} bytes");
}
