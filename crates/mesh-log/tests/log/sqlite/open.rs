//! Opening again, and files that are not to be opened.

use super::{Place, refusal};
use crate::build::{all, assert_events, assert_whole, content, key, read_all, step};
use mesh_log::{
    Durability, EventLog, Expect, LogError, ReadLimit, RecordKey, Space, SqliteLog, SqliteOptions,
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

/// A store as the first version left it: without what later versions added.
pub(super) fn age(path: &std::path::Path) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(
        "DROP TABLE records; DROP TABLE versions; DROP TRIGGER bodies_go; DROP TABLE bodies;
         ALTER TABLE events DROP COLUMN size; PRAGMA user_version = 1;",
    )
    .unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_date_and_keeps_its_tasks() {
    let place = Place::new();
    let log = place.open();
    log.append(step(&key("t", "1"), 0, 20)).await.unwrap();
    log.close().await;
    age(&place.path());
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
