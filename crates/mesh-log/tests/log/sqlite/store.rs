//! Stores from outside: a sound one, damaged ones, copies.

use super::Place;
use mesh_core::event::{ArtifactChange, StatusChange, TaskEvent};
use mesh_core::lifecycle::{Control, Phase};
use mesh_core::model::{Artifact, Message, Part, Role, Task, TaskState, TaskStatus};
use mesh_core::{AgentName, MessageId, Principal, TaskKey, Timestamp, TraceContext};
use mesh_log::{
    Append, Attendant, EventLog, Examination, Expect, LogError, NewEvent, Progress, ReadLimit, Record,
    RecordKey, Severity, Space, SqliteLog, StoreFile, TaskHead, Trim,
};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn key(task: &str) -> TaskKey {
    TaskKey::new("t".into(), task.into())
}

fn message(id: &str) -> Message {
    serde_json::from_value(
        serde_json::json!({ "messageId": id, "role": Role::User, "parts": [{ "text": "Hi" }] }),
    )
    .unwrap()
}

fn status(state: TaskState, at: i64) -> TaskStatus {
    TaskStatus { state, message: None, timestamp: Some(Timestamp(at)) }
}

/// What a host would append: a task that is created, at work, with chunks of an artifact, and done if `done`.
async fn run(log: &SqliteLog, task: &str, chunks: usize, chunk: &str, done: bool) {
    let key = key(task);
    let created = Task {
        id: key.task.clone(),
        context_id: "c".into(),
        status: status(TaskState::Submitted, 1),
        artifacts: Vec::new(),
        history: vec![message("m")],
        metadata: None,
    };
    let change = |state, at| {
        TaskEvent::Status(Box::new(StatusChange {
            status: status(state, at),
            metadata: None,
            received: None,
        }))
    };
    let mut events = vec![TaskEvent::Created(Box::new(created)), change(TaskState::Working, 2)];
    for number in 0..chunks {
        let part: Part = serde_json::from_value(serde_json::json!({ "text": chunk })).unwrap();
        let artifact: Artifact =
            serde_json::from_value(serde_json::json!({ "artifactId": "a", "parts": [part] })).unwrap();
        events.push(TaskEvent::Artifact(Box::new(ArtifactChange {
            artifact,
            append: number > 0,
            last_chunk: false,
        })));
    }
    if done {
        events.push(change(TaskState::Completed, 3));
    }
    let (state, at, phase) = if done {
        (TaskState::Completed, 3, Phase::Ended)
    } else {
        (TaskState::Working, 2, Phase::Running(1))
    };
    let control = Control {
        agent: AgentName::new("sales"),
        owner: Principal::person("t", "local"),
        phase,
        holder: None,
        attempts: 1,
        losses: 0,
        answers: Vec::new(),
        received: vec![MessageId::new("m")],
        trace: TraceContext { trace_id: 1, span_id: 1, flags: 1 },
        created: Timestamp(1),
        touched: Default::default(),
    };
    let head = TaskHead {
        key: key.clone(),
        context_id: "c".into(),
        state,
        status_at: Timestamp(at),
        first: 1,
        seq: 0,
        control,
    };
    let events = events
        .iter()
        .map(|event| NewEvent { public: event.encode(&key.task, &"c".into()).into(), private: None })
        .collect();
    log.append(Append { expected_seq: 0, events, head, creates: None }).await.unwrap();
}

/// Some tasks, one of them large, and a record; closed.
async fn filled(place: &Place) {
    let log = place.open();
    for task in 0..20 {
        run(&log, &task.to_string(), 10, "chunk", task % 2 == 0).await;
    }
    run(&log, "large", 4, &"x".repeat(50_000), true).await;
    let record = RecordKey::new(Space::Push, "t".into(), "1/hook");
    log.records().put(&record, "{}".into(), Expect::Nothing).await.unwrap();
    log.close().await;
}

fn file(place: &Place) -> StoreFile {
    StoreFile::at(place.path())
}

fn any(_: &Record) -> Result<(), String> {
    Ok(())
}

/// Does something with a store that nobody listens to.
fn with<T>(work: impl FnOnce(&mut Attendant<'_>) -> Result<T, LogError>) -> Result<T, LogError> {
    work(&mut Attendant { progress: &mut |_| {}, record: &any })
}

fn examine(path: &Path) -> Examination {
    with(|attendant| StoreFile::at(path).examine(attendant)).unwrap()
}

/// The kinds of what is found, with the task.
fn kinds(path: &Path) -> Vec<(&'static str, Option<String>)> {
    let found = examine(path);
    assert_eq!(found.is_sound(), !found.findings.iter().any(|finding| finding.severity == Severity::Error));
    for finding in &found.findings {
        println!("{finding:?}");
    }
    found.findings.into_iter().map(|finding| (finding.kind, finding.task)).collect()
}

fn change(place: &Place, sql: &str) {
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(sql).unwrap();
}

const OF_7: &str = "(SELECT id FROM heads WHERE task = '7')";

#[tokio::test]
async fn a_sound_store_is_found_to_be_sound_also_while_it_is_in_use() {
    let place = Place::new();
    filled(&place).await;
    for in_use in [false, true] {
        let log = in_use.then(|| place.open());
        let found = examine(&place.path());
        assert_eq!(found.findings, []);
        let facts = found.facts;
        assert_eq!((facts.tasks, facts.unfinished, facts.records, facts.large_events), (21, 10, 1, 4));
        assert_eq!((facts.events, facts.format), (10 * 12 + 10 * 13 + 7, 4));
        if let Some(log) = log {
            run(&log, "new", 1, "x", true).await;
            log.close().await;
        }
    }
    assert_eq!(examine(&place.path()).facts.tasks, 22);
}

#[tokio::test]
async fn what_is_wrong_with_a_task_is_found_and_named() {
    let event =
        |number: u64, change: &str| format!("UPDATE events SET {change} WHERE id = {OF_7} << 32 | {number}");
    let delete = |number: u64| format!("DELETE FROM events WHERE id = {OF_7} << 32 | {number}");
    let head = |change: &str| format!("UPDATE heads SET {change} WHERE task = '7'");
    let control = |path: &str, value: &str| head(&format!("control = json_set(control, '{path}', {value})"));
    for (what, damage, expected) in [
        ("a missing event", delete(5), "missing-event"),
        ("a missing last event", delete(12), "wrong-head"),
        ("a missing first event", delete(1), "missing-event"),
        ("no events", format!("DELETE FROM events WHERE id >> 32 = {OF_7}"), "missing-event"),
        ("a head that lies about the state", head("state = 4"), "wrong-head"),
        ("a head that lies about the number", head("seq = 11"), "wrong-head"),
        ("a head that lies about the time", head("status_at = 77"), "wrong-head"),
        ("a head with no such state", head("state = 9"), "unreadable-head"),
        ("a head that cannot be read", head("control = 'x'"), "unreadable-head"),
        ("a phase that does not fit", control("$.phase", "'queued'"), "broken-lifecycle"),
        ("more attempts than events", control("$.attempts", "99"), "broken-lifecycle"),
        ("an event that is no JSON", event(3, "public = x'7b7b'"), "unreadable-event"),
        (
            "a second creation",
            event(4, &format!("public = (SELECT public FROM events WHERE id = {OF_7} << 32 | 1)")),
            "wrong-creation",
        ),
        (
            "the events of another task",
            event(
                1,
                "public = (SELECT public FROM events WHERE id = (SELECT id FROM heads WHERE task = '8') << 32 | 1)",
            ),
            "wrong-task",
        ),
    ] {
        let place = Place::new();
        filled(&place).await;
        change(&place, &damage);
        let found = kinds(&place.path());
        assert!(found.contains(&(expected, Some("t/7".to_owned()))), "{what}: {found:?}");
        assert!(found.iter().all(|(_, task)| task.as_deref() == Some("t/7")), "{what}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_beside_the_tasks_is_found_and_named() {
    for (damage, expected) in [
        ("DELETE FROM bodies", "unreadable-event"),
        ("UPDATE bodies SET body = substr(body, 2)", "unreadable-event"),
        ("INSERT INTO bodies VALUES (1, x'00')", "stray-bodies"),
        ("INSERT INTO events (id, public) VALUES (99 << 32 | 1, x'00')", "stray-events"),
        ("DROP INDEX heads_by_owner", "wrong-tables"),
        ("ALTER TABLE heads ADD COLUMN more TEXT", "wrong-tables"),
        ("CREATE TABLE notes (text TEXT)", "wrong-tables"),
        ("DROP TABLE records", "wrong-tables"),
        ("UPDATE records SET version = 1000", "wrong-version"),
        ("UPDATE records SET space = 'other'", "unknown-record"),
        ("PRAGMA user_version = 99", "newer-format"),
        ("PRAGMA application_id = 5", "not-a-store"),
    ] {
        let place = Place::new();
        filled(&place).await;
        change(&place, damage);
        let found = kinds(&place.path());
        assert!(found.iter().any(|(kind, _)| *kind == expected), "{damage}: {found:?}");
    }
    let place = Place::new();
    filled(&place).await;
    let found = file(&place)
        .examine(&mut Attendant { progress: &mut |_| {}, record: &|_| Err("it is empty".to_owned()) })
        .unwrap();
    assert_eq!((found.findings.len(), found.findings[0].kind), (1, "unreadable-record"));
}

#[tokio::test]
async fn damage_to_the_file_is_found_and_named() {
    let place = Place::new();
    filled(&place).await;
    let whole = fs::read(place.path()).unwrap();
    let pages = whole.len() / 4096;
    for page in (1..pages).step_by(7) {
        let mut damaged = whole.clone();
        damaged[page * 4096..page * 4096 + 64].fill(0xA5);
        fs::write(place.path(), damaged).unwrap();
        let found = kinds(&place.path());
        assert!(!found.is_empty(), "page {page}");
    }
    // One byte in the text of an event.
    let text = b"\"text\":\"chunk\"";
    let at = whole.windows(text.len()).rposition(|bytes| bytes == text).unwrap();
    let mut flipped = whole.clone();
    flipped[at] ^= 0x40;
    fs::write(place.path(), flipped).unwrap();
    let found = kinds(&place.path());
    assert!(found.iter().any(|(kind, _)| *kind == "unreadable-event"), "{found:?}");
    fs::write(place.path(), &whole[..whole.len() / 2]).unwrap();
    let found = kinds(&place.path());
    assert_eq!(found[0].0, "cut-off");
    for (content, expected) in [(&[b'a'; 10_000][..], "not-a-database"), (&whole[..100], "cut-off")] {
        fs::write(place.path(), content).unwrap();
        assert_eq!(kinds(&place.path()), [(expected, None)]);
    }
    fs::write(place.path(), b"").unwrap();
    assert_eq!(kinds(&place.path())[0].0, "not-a-store");
    fs::remove_file(place.path()).unwrap();
    assert!(with(|attendant| file(&place).examine(attendant)).is_err());
}

/// Replaces a task's events by the task with an artifact of `size` bytes, or deletes it.
async fn trim(log: &SqliteLog, task: &str, size: Option<usize>) {
    let key = key(task);
    let head = log.head(&key).await.unwrap().unwrap();
    let snapshot = size.map(|size| {
        let artifacts = serde_json::json!([{ "artifactId": "a", "parts": [{ "text": "x".repeat(size) }] }]);
        let task = Task {
            id: key.task.clone(),
            context_id: "c".into(),
            status: status(TaskState::Completed, 3),
            artifacts: serde_json::from_value(artifacts).unwrap(),
            history: vec![message("m")],
            metadata: None,
        };
        TaskEvent::Created(Box::new(task)).encode(&key.task, &"c".into()).into()
    });
    assert_eq!(log.trim(vec![Trim { key, seq: head.seq, snapshot }]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_with_trimmed_and_deleted_tasks_is_sound_while_their_events_are_being_discarded_and_after() {
    let place = Place::new();
    filled(&place).await;
    let log = place.open();
    for task in ["long", "longer"] {
        run(&log, task, 3000, "chunk", true).await;
    }
    trim(&log, "0", Some(10)).await;
    trim(&log, "2", Some(100_000)).await;
    trim(&log, "4", None).await;
    trim(&log, "large", None).await;
    trim(&log, "long", Some(10)).await;
    trim(&log, "longer", None).await;
    let large = log.read(&key("2"), 12, ReadLimit::default()).await.unwrap();
    assert!(large.len() == 1 && large[0].seq == 13 && large[0].public.len() > 100_000);
    log.close().await;
    let found = examine(&place.path());
    assert_eq!((found.findings, found.facts.tasks, found.facts.large_events), (Vec::new(), 20, 1));
    let log = place.open();
    while log.reclaim().await.unwrap() {}
    log.close().await;
    assert_eq!(examine(&place.path()).findings, []);
    let file = Connection::open(place.path()).unwrap();
    let left = |table: &str| -> i64 {
        file.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
    };
    // Of seventeen tasks as they were, seven have ended; and there are three snapshots.
    assert_eq!((left("discarded"), left("bodies"), left("events")), (0, 1, 7 * 13 + 10 * 12 + 3));
}

#[tokio::test]
async fn stores_of_earlier_formats_are_checked_by_their_own_tables() {
    let place = Place::new();
    let log = place.open();
    run(&log, "1", 10, "chunk", true).await;
    log.close().await;
    super::open::age(&place.path(), 1);
    let found = examine(&place.path());
    assert_eq!((found.findings, found.facts.format, found.facts.events), (Vec::new(), 1, 13));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_store_that_is_written_to_is_whole() {
    let place = Place::new();
    filled(&place).await;
    let log = Arc::new(place.open());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                run(&log, &format!("w{written}"), 20, "more", written % 2 == 0).await;
                written += 1;
            }
            written
        })
    };
    let target = place.path().with_file_name("backup.db");
    let (store, to) = (file(&place), target.clone());
    let taken = tokio::task::spawn_blocking(move || {
        (0..5)
            .map(|_| with(|attendant| store.backup(&to, true, attendant)).unwrap().facts)
            .collect::<Vec<_>>()
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    assert!(written > 0 && taken.is_sorted_by_key(|facts| facts.tasks), "{written} {taken:?}");
    assert!(taken[4].tasks > taken[0].tasks, "the store went on: {taken:?}");
    let last = examine(&target);
    assert_eq!(
        (last.findings, last.facts.tasks, last.facts.events),
        (Vec::new(), taken[4].tasks, taken[4].events)
    );
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    log.close().await;
    let names: Vec<String> = fs::read_dir(target.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("backup"))
        .collect();
    assert_eq!(names, ["backup.db"], "one file, and nothing left over");
}

#[tokio::test]
async fn a_backup_says_how_far_it_has_come() {
    let place = Place::new();
    filled(&place).await;
    let mut heard = Vec::new();
    let mut hear = |now: Progress| heard.push(now);
    let target = place.path().with_file_name("backup.db");
    file(&place).backup(&target, false, &mut Attendant { progress: &mut hear, record: &any }).unwrap();
    let size = fs::metadata(&target).unwrap().len();
    assert!(
        heard.contains(&Progress::Copied(size, size)) && heard.contains(&Progress::Tasks(21, 21)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_a_backup_is_refused_and_nothing_is_left() {
    let place = Place::new();
    filled(&place).await;
    let target = place.path().with_file_name("backup.db");
    let refusal =
        |target: &Path, replace| match with(|attendant| file(&place).backup(target, replace, attendant)) {
            Err(LogError::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
    for own in ["tasks.db", "tasks.db-wal", "tasks.db.lock", "../tasks.db/../tasks.db"] {
        let path = place.path().with_file_name(own);
        if path.exists() || !own.contains("..") {
            assert!(refusal(&path, true).contains("belongs to the store"), "{own}");
        }
    }
    fs::write(&target, "mine").unwrap();
    assert!(refusal(&target, false).contains("there already"));
    change(&place, &format!("DELETE FROM events WHERE id = {OF_7} << 32 | 5"));
    assert!(refusal(&target, true).contains("t/7"));
    assert_eq!(fs::read(&target).unwrap(), b"mine", "an unsound copy replaces nothing");
    let left = fs::read_dir(target.parent().unwrap()).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("partial")));
    let nowhere = target.with_file_name("no").join("such").join("directory.db");
    assert!(with(|attendant| file(&place).backup(&nowhere, false, attendant)).is_err());
}

/// A backup of the filled store, and a store with another task that is in the way.
async fn in_the_way(place: &Place) -> StoreFile {
    filled(place).await;
    let target = place.path().with_file_name("backup.db");
    with(|attendant| file(place).backup(&target, false, attendant)).unwrap();
    let log = place.open();
    run(&log, "later", 3, "x", true).await;
    log.close().await;
    StoreFile::at(target)
}

#[tokio::test]
async fn a_store_that_is_in_use_or_has_tasks_is_not_replaced() {
    let place = Place::new();
    let backup = in_the_way(&place).await;
    let restore = |replace| with(|attendant| file(&place).restore(&backup, replace, attendant));
    let log = place.open();
    assert!(restore(true).unwrap_err().to_string().contains("in use by process"));
    log.close().await;
    assert!(restore(false).unwrap_err().to_string().contains("has tasks"));
    let log = place.open();
    assert_eq!(log.head(&key("later")).await.unwrap().unwrap().seq, 6);
}

#[tokio::test]
async fn a_restored_store_is_that_of_the_backup_and_the_other_is_kept() {
    let place = Place::new();
    let backup = in_the_way(&place).await;
    let restored = with(|attendant| file(&place).restore(&backup, true, attendant)).unwrap();
    assert_eq!((restored.facts.tasks, restored.facts.unfinished), (21, 10));
    let log = place.open();
    assert_eq!(log.head(&key("later")).await.unwrap(), None);
    assert_eq!(log.read(&key("large"), 0, ReadLimit::new(100, 1 << 20)).await.unwrap().len(), 7);
    run(&log, "after", 1, "x", true).await;
    log.close().await;
    assert_eq!(examine(&place.path()).findings, []);
    let kept = restored.kept.unwrap();
    assert_eq!((examine(&kept).findings, examine(&kept).facts.tasks), (Vec::new(), 22));
    // Into an empty place, nothing is in the way.
    let other = Place::new();
    let restored = with(|attendant| file(&other).restore(&backup, false, attendant)).unwrap();
    assert_eq!((restored.facts.tasks, restored.kept), (21, None));
}

#[tokio::test]
async fn what_was_in_the_write_ahead_log_of_the_other_store_is_neither_lost_nor_mixed_up() {
    let place = Place::new();
    let backup = in_the_way(&place).await;
    let log = place.open();
    run(&log, "hot", 100, "x", true).await;
    let (db, wal) =
        (fs::read(place.path()).unwrap(), fs::read(place.path().with_extension("db-wal")).unwrap());
    log.close().await;
    // As a crash leaves it.
    fs::write(place.path(), db).unwrap();
    fs::write(place.path().with_extension("db-wal"), wal).unwrap();
    let kept = with(|attendant| file(&place).restore(&backup, true, attendant)).unwrap().kept.unwrap();
    assert_eq!((examine(&place.path()).findings, examine(&place.path()).facts.tasks), (Vec::new(), 21));
    let found = examine(&kept);
    assert_eq!((found.findings, found.facts.tasks), (Vec::new(), 23));
}

#[tokio::test]
async fn a_damaged_store_is_replaced_when_it_is_said_and_a_damaged_backup_replaces_nothing() {
    let place = Place::new();
    let backup = in_the_way(&place).await;
    let whole = fs::read(place.path()).unwrap();
    fs::write(place.path(), "dear diary\n".repeat(1000)).unwrap();
    assert!(with(|attendant| file(&place).restore(&backup, false, attendant)).is_err());
    let restored = with(|attendant| file(&place).restore(&backup, true, attendant)).unwrap();
    assert!(fs::read_to_string(restored.kept.unwrap()).unwrap().starts_with("dear diary"));
    fs::write(place.path(), &whole).unwrap();
    let damaged = fs::OpenOptions::new().write(true).open(backup.path()).unwrap();
    let pages = damaged.metadata().unwrap().len() / 4096;
    for page in [1, pages / 2, pages - 1] {
        let mut before = vec![0; 4096];
        fs::File::open(backup.path()).unwrap().read_exact_at(&mut before, page * 4096).unwrap();
        damaged.write_all_at(&[0xA5; 512], page * 4096).unwrap();
        let refused = with(|attendant| file(&place).restore(&backup, true, attendant)).unwrap_err();
        assert!(matches!(refused, LogError::Refused { .. }), "{refused}");
        damaged.write_all_at(&before, page * 4096).unwrap();
    }
    fs::write(backup.path(), b"no backup").unwrap();
    assert!(with(|attendant| file(&place).restore(&backup, true, attendant)).is_err());
    assert!(fs::read(place.path()).unwrap() == whole, "nothing was changed");
}
