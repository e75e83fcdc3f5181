//! Large public parts are kept apart from the rows.

use super::Place;
use crate::build::{key, read_all, step};
use bytes::Bytes;
use mesh_core::TaskKey;
use mesh_log::{Append, EventLog, ReadLimit};
use rusqlite::Connection;

/// A large event at every second place.
fn large(key: &TaskKey, after: u64, count: u64) -> Append {
    let mut append = step(key, after, count);
    for event in append.events.iter_mut().step_by(2) {
        event.public = Bytes::from(vec![b'x'; 100_000]);
    }
    append
}

fn count(file: &Connection, sql: &str) -> i64 {
    file.query_row(sql, (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_large_event_is_read_as_it_was_and_its_row_is_small() {
    let place = Place::new();
    let log = place.open();
    let key = key("t", "1");
    let append = large(&key, 0, 10);
    let contents: Vec<Bytes> = append.events.iter().map(|event| event.public.clone()).collect();
    log.append(append).await.unwrap();
    log.close().await;
    let file = Connection::open(place.path()).unwrap();
    assert!(count(&file, "SELECT max(length(public)) FROM events") < 100);
    assert_eq!(count(&file, "SELECT sum(length(body)) FROM bodies"), 500_000);
    drop(file);
    let events = read_all(&place.open(), &key, 0, ReadLimit::default()).await;
    assert!(events.iter().map(|event| &event.public).eq(&contents));
}

#[tokio::test]
async fn contents_go_with_their_events() {
    let place = Place::new();
    let log = place.open();
    for task in ["1", "2"] {
        log.append(large(&key("t", task), 0, 10)).await.unwrap();
    }
    log.close().await;
    let file = Connection::open(place.path()).unwrap();
    assert_eq!(count(&file, "SELECT count(*) FROM bodies"), 10);
    let deleted = "DELETE FROM events WHERE id >> 32 = (SELECT id FROM heads WHERE task = '1')";
    assert_eq!(file.execute(deleted, ()).unwrap(), 10);
    assert_eq!(count(&file, "SELECT count(*) FROM bodies"), 5);
    assert_eq!(
        count(&file, "SELECT count(*) FROM bodies b JOIN events e USING (id) WHERE e.size = length(b.body)"),
        5
    );
}

#[tokio::test]
async fn an_append_that_is_refused_leaves_no_content() {
    let place = Place::new();
    let log = place.open();
    let key = key("t", "1");
    log.append(large(&key, 0, 2)).await.unwrap();
    assert!(log.append(large(&key, 1, 2)).await.is_err());
    assert!(log.append(large(&key, 0, 2)).await.is_err());
    log.close().await;
    let file = Connection::open(place.path()).unwrap();
    assert_eq!(count(&file, "SELECT count(*) FROM bodies"), 1);
}
