//! What becomes of ended tasks, by a clock that the tests move.

use crate::support::{Bench, Events, message, settings, state, until};
use mesh_config::Retention;
use mesh_core::{Clock, SystemClock, Tenant, Timestamp};
use mesh_host::{HostSettings, Swept};
use mesh_log::{EventLog, Expect, MemoryLog, RecordKey, Space, SqliteLog, SqliteOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// The machine's clock, ahead of itself.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicI64>);

impl Ahead {
    fn go(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().millis() + self.0.load(Ordering::Relaxed))
    }
}

fn keeping(retention: Retention) -> HostSettings {
    let mut settings = settings();
    settings.agent.tasks.retention = retention;
    settings
}

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * 24 * 3600))
}

async fn bench(retention: Retention) -> (Bench, Ahead, Arc<dyn EventLog>) {
    let (clock, log): (_, Arc<dyn EventLog>) = (Ahead::default(), Arc::new(MemoryLog::new()));
    let bench = Bench::at(keeping(retention), Arc::clone(&log), Arc::new(clock.clone())).await.ready().await;
    (bench, clock, log)
}

async fn resumed(bench: &Bench, id: &str, after: u64) -> Events {
    bench.stream("SubscribeToTask", json!({ "id": id }), &[("last-event-id", &after.to_string())]).await
}

/// Asserts that an answer says that the events before `first` are gone.
fn assert_trimmed(answer: &Value, first: u64) {
    let error = &answer["error"];
    assert_eq!(
        (&error["code"], &error["data"][0]["reason"]),
        (&json!(-32051), &json!("EVENTS_TRIMMED")),
        "{answer}"
    );
    assert_eq!(error["data"][0]["metadata"]["firstEvent"], first.to_string());
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(&first.to_string()) && text.contains("GetTask"), "{text}");
}

const TRIMMED: Swept = Swept { trimmed: 1, deleted: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_task_is_read_as_before_and_says_from_where_it_can_be_followed() {
    let (bench, clock, _) = bench(Retention::default()).await;
    let asked = bench.send("chunks 5 10 && ask who?").await;
    let id = asked["id"].as_str().unwrap().to_owned();
    let task = bench.answer(&id, "Ada").await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED");
    let last = bench.events(&id).await.rest_after(0).await.len() as u64;
    let (whole, listed) = (bench.get(&id).await, bench.rpc("ListTasks", json!({})).await);
    clock.go(6 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept::default());
    clock.go(2 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap(), TRIMMED);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept::default());

    assert_eq!(bench.get(&id).await, whole);
    assert_eq!(bench.rpc("ListTasks", json!({})).await, listed, "without artifacts, too");
    for after in [0, 1, last - 1] {
        let (number, answer) = resumed(&bench, &id, after).await.next().await.unwrap();
        assert_eq!(number, None);
        assert_trimmed(&answer, last);
    }
    assert!(resumed(&bench, &id, last).await.next().await.is_none(), "there is nothing after the last event");
    let (_, beyond) = resumed(&bench, &id, last + 1).await.next().await.unwrap();
    assert_eq!(beyond["error"]["code"], -32602);
    // It is over for everything else, too.
    let refused = bench.rpc("CancelTask", json!({ "id": id })).await;
    assert_eq!(refused["error"]["code"], -32002, "{refused}");
    let metrics = bench.metrics();
    assert!(metrics.contains("a2a_trimmed_tasks_total{agent=\"sales\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_remembered_as_long_as_its_task_is_there() {
    let (bench, clock, _) = bench(Retention { age: days(2), count: Some(0), events: days(0) }).await;
    let params = json!({ "message": message("echo once") });
    let task = async |bench: &Bench| {
        let answer = bench.rpc("SendMessage", params.clone()).await;
        answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let first = task(&bench).await;
    clock.go(23 * HOUR);
    // Neither the count nor what was trimmed takes away what is to be remembered for a day.
    assert_eq!(bench.host.sweep().await.unwrap(), TRIMMED);
    assert_eq!(task(&bench).await, first);
    let mut other = params.clone();
    other["message"]["parts"][0]["text"] = "echo twice".into();
    assert_eq!(bench.rpc("SendMessage", other).await["error"]["code"], -32602);
    clock.go(2 * HOUR);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept { trimmed: 0, deleted: 1 });
    assert_ne!(task(&bench).await, first);
    let gone = bench.rpc("GetTask", json!({ "id": first })).await;
    assert_eq!(gone["error"]["code"], -32001, "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_are_too_old_go_with_their_records_and_unfinished_ones_stay() {
    let mut settings = keeping(Retention { age: days(30), count: None, events: None });
    settings.push.allow = vec!["127.0.0.0/8".to_owned()];
    let (clock, log): (_, Arc<dyn EventLog>) = (Ahead::default(), Arc::new(MemoryLog::new()));
    let bench = Bench::at(settings, Arc::clone(&log), Arc::new(clock.clone())).await.ready().await;
    let asking = bench.send("ask who?").await["id"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for task in ["echo one", "echo two"] {
        let id = bench.send(task).await["id"].as_str().unwrap().to_owned();
        let config = json!({ "taskId": id, "id": "c", "url": "http://127.0.0.1:1/" });
        let created = bench.rpc("CreateTaskPushNotificationConfig", config).await;
        assert!(created["error"].is_null(), "{created}");
        ids.push(id);
        clock.go(DAY);
    }
    let records = async || log.records().list(Space::Push, None, "", None, 10).await.unwrap().len();
    assert_eq!(records().await, 2);
    clock.go(28 * DAY + HOUR);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept { trimmed: 0, deleted: 1 });
    assert_eq!(records().await, 1);
    assert_eq!(bench.rpc("GetTask", json!({ "id": ids[0] })).await["error"]["code"], -32001);
    assert_eq!(state(&bench.get(&ids[1]).await), "TASK_STATE_COMPLETED");
    let listed = bench.rpc("ListTasks", json!({})).await;
    assert_eq!(listed["result"]["totalSize"], 2);
    clock.go(400 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept { trimmed: 0, deleted: 1 });
    assert_eq!(state(&bench.answer(&asking, "Ada").await), "TASK_STATE_COMPLETED");
    assert!(bench.metrics().contains("a2a_deleted_tasks_total{agent=\"sales\"} 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_ended_tasks_the_newest_are_kept() {
    let (bench, clock, _) = bench(Retention { age: None, count: Some(3), events: None }).await;
    let mut ids = Vec::new();
    for _ in 0..80 {
        ids.push(bench.send("echo x").await["id"].as_str().unwrap().to_owned());
        clock.go(1000);
    }
    assert_eq!(bench.host.sweep().await.unwrap(), Swept::default());
    clock.go(25 * HOUR);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept { trimmed: 0, deleted: 77 });
    for (n, id) in ids.iter().enumerate().skip(70) {
        assert_eq!(bench.rpc("GetTask", json!({ "id": id })).await["error"].is_null(), n >= 77, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_sweeps_by_itself_and_reads_what_was_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn EventLog> {
        Arc::new(SqliteLog::open(&directory.path().join("tasks.db"), SqliteOptions::default()).unwrap())
    };
    let log = open();
    let first = Bench::on(settings(), Arc::clone(&log)).await.ready().await;
    let done = first.send("chunks 3 10").await;
    let asking = first.send("ask who?").await;
    first.host.shutdown(Duration::ZERO).await;
    log.close().await;
    for round in 0..2 {
        let (log, clock) = (open(), Ahead::default());
        clock.go(8 * DAY);
        let bench = Bench::at(settings(), Arc::clone(&log), Arc::new(clock)).await.ready().await;
        if round == 0 {
            until("it is trimmed", || bench.metrics().contains("a2a_trimmed_tasks_total{agent=\"sales\"} 1"))
                .await;
        }
        assert_eq!(bench.get(done["id"].as_str().unwrap()).await, done);
        assert_eq!(state(&bench.get(asking["id"].as_str().unwrap()).await), "TASK_STATE_INPUT_REQUIRED");
        bench.host.shutdown(Duration::ZERO).await;
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hosts_one_sweeps_and_both_read_the_same() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new().for_several_hosts());
    let clock = Ahead::default();
    let start = || Bench::at(settings(), Arc::clone(&log), Arc::new(clock.clone()));
    let (one, other) = (start().await.ready().await, start().await.ready().await);
    let mut tasks = Vec::new();
    for _ in 0..70 {
        tasks.push(one.send("echo x").await);
    }
    clock.go(8 * DAY);
    let (first, second) = tokio::join!(one.host.sweep(), other.host.sweep());
    assert_eq!(first.unwrap().trimmed + second.unwrap().trimmed, 70);
    for task in &tasks {
        let id = task["id"].as_str().unwrap();
        assert_eq!((&one.get(id).await, &other.get(id).await), (task, task));
        assert_trimmed(&other.events(id).await.next().await.unwrap().1, 4);
    }
    // What one of them deletes, the other one knows no more.
    let mut deleting = keeping(Retention { age: days(1), count: None, events: None });
    deleting.agent.tasks.remember_messages = Duration::ZERO;
    let third = Bench::at(deleting, Arc::clone(&log), Arc::new(clock.clone())).await;
    assert_eq!(third.host.sweep().await.unwrap().deleted, 70);
    let id = &tasks[0]["id"];
    assert_eq!(other.rpc("GetTask", json!({ "id": id })).await["error"]["code"], -32001);
    let turn = RecordKey::new(Space::Hosts, Tenant::from("default"), "sales#retention");
    assert!(log.records().get(&turn).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_open_while_its_task_is_trimmed_or_deleted_ends_with_an_error() {
    let (bench, clock, log) = bench(Retention { age: days(30), count: None, events: days(7) }).await;
    // Nobody takes the events of these: each has seen nothing when its task has ended.
    let id = bench.begin("ask who?").await;
    let (slow, slower) = (bench.events(&id).await, bench.events(&id).await);
    let mut streams = [Some(slow), Some(slower)];
    bench.events(&id).await.until("INPUT_REQUIRED").await;
    bench.answer(&id, "Ada").await;
    let last = bench.events(&id).await.rest_after(0).await.len() as u64;
    clock.go(8 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap(), TRIMMED);
    let mut slow = streams[0].take().unwrap();
    assert_trimmed(&slow.next().await.unwrap().1, last);
    assert!(slow.next().await.is_none(), "the stream ends");
    clock.go(30 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap(), Swept { trimmed: 0, deleted: 1 });
    let mut slower = streams[1].take().unwrap();
    let (_, answer) = slower.next().await.unwrap();
    assert_eq!(answer["error"]["code"], -32001, "{answer}");
    assert!(slower.next().await.is_none(), "the stream ends");
    assert_eq!(log.list(everything()).await.unwrap().total, 0);
}

fn everything() -> mesh_log::ListQuery {
    mesh_log::ListQuery {
        tenant: Tenant::from("default"),
        owner: None,
        agent: None,
        context_id: None,
        state: None,
        status_at_or_after: None,
        after: None,
        limit: 10,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_trimmed_between_any_two_reads_of_it() {
    let (bench, clock, _) = bench(Retention { age: None, count: None, events: days(7) }).await;
    for _ in 0..5 {
        let task = bench.send("chunks 200 10").await;
        let id = task["id"].as_str().unwrap();
        clock.go(8 * DAY);
        let reading = async {
            for _ in 0..20 {
                assert_eq!(bench.get(id).await, task);
            }
        };
        let (swept, ()) = tokio::join!(bench.host.sweep(), reading);
        assert_eq!(swept.unwrap(), TRIMMED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_task_is_gone_is_deleted_when_it_is_found() {
    let mut settings = settings();
    settings.push.allow = vec!["127.0.0.0/8".to_owned()];
    let (clock, log): (_, Arc<dyn EventLog>) = (Ahead::default(), Arc::new(MemoryLog::new()));
    let bench = Bench::at(settings.clone(), Arc::clone(&log), Arc::new(clock)).await.ready().await;
    let id = bench.send("ask who?").await["id"].as_str().unwrap().to_owned();
    let config = json!({ "taskId": id, "id": "c", "url": "http://127.0.0.1:1/" });
    bench.rpc("CreateTaskPushNotificationConfig", config).await;
    bench.host.shutdown(Duration::ZERO).await;
    let records = log.records();
    let found = records.list(Space::Push, None, "", None, 10).await.unwrap().remove(0);
    records.delete(&found.key, Expect::Anything).await.unwrap();
    let orphan = RecordKey::new(Space::Push, found.key.tenant, "gone/c");
    records.put(&orphan, found.value, Expect::Nothing).await.unwrap();
    let _next = Bench::on(settings, Arc::clone(&log)).await;
    let mut changes = log.records().changes(Space::Push).await.unwrap();
    let gone = async {
        while log.records().get(&orphan).await.unwrap().is_some() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_goes_with_the_last_task_of_its_context_and_not_before() {
    let keep = Retention { age: days(30), ..Retention::default() };
    let (bench, clock, log) = bench(keep).await;
    let remember = async |key: String| {
        let mut message = message(&format!(r#"memory {{"op":"put","key":"{key}","value":1}}"#));
        message["contextId"] = "c".into();
        let task = &bench.rpc("SendMessage", json!({ "message": message })).await["result"]["task"];
        assert_eq!(state(task), "TASK_STATE_COMPLETED");
    };
    let memory = async || log.records().list(Space::Context, None, "", None, 100).await.unwrap();
    for n in 0..40 {
        remember(n.to_string()).await;
    }
    clock.go(20 * DAY);
    remember("late".to_owned()).await;
    let neighbour =
        RecordKey::new(Space::Context, "default".into(), memory().await[0].key.name.replace('/', "0/"));
    log.records().put(&neighbour, "1".into(), Expect::Nothing).await.unwrap();
    clock.go(20 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap().deleted, 40);
    assert_eq!(memory().await.len(), 42, "a task of the context is left");
    clock.go(20 * DAY);
    assert_eq!(bench.host.sweep().await.unwrap().deleted, 1);
    assert_eq!(memory().await.into_iter().map(|record| record.key).collect::<Vec<_>>(), [neighbour]);
}
