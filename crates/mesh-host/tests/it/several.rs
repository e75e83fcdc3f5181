//! Several hosts of one agent on one log: any of them serves any request, and none is needed for a task to go on.

use crate::support::{Bench, message, settings, state};
use mesh_host::HostSettings;
use mesh_log::{EventLog, MemoryLog};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn shared() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new().for_several_hosts())
}

/// One task at a time, and a lease that a test can wait for.
fn small() -> HostSettings {
    let mut settings = settings();
    settings.agent.tasks.concurrency = 1;
    settings.agent.tasks.lease = Duration::from_millis(600);
    settings
}

async fn two(log: &Arc<dyn EventLog>) -> (Bench, Bench) {
    let one = Bench::on(small(), Arc::clone(log)).await.ready().await;
    let other = Bench::on(small(), Arc::clone(log)).await.ready().await;
    (one, other)
}

/// A runtime of its own for a host that is to vanish without a word.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_read_followed_and_canceled_at_any_host() {
    let (one, other) = two(&shared()).await;
    let id = one.begin("hang").await;
    other.events(&id).await.until("hanging").await;
    assert_eq!(state(&other.get(&id).await), "TASK_STATE_WORKING");
    assert_eq!(state(&other.cancel(&id).await), "TASK_STATE_CANCELED");
    assert_eq!(state(&one.get(&id).await), "TASK_STATE_CANCELED");
    // The one place of the first host is free again.
    other.begin("hang").await;
    assert_eq!(state(&one.send("echo next").await), "TASK_STATE_COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_in_at_another_host_reaches_the_attempt_that_waits() {
    let (one, other) = two(&shared()).await;
    let asking = one.send("ask who?").await;
    let id = asking["id"].as_str().unwrap();
    assert_eq!(state(&asking), "TASK_STATE_INPUT_REQUIRED");
    let answered = other.answer(id, "Ada").await;
    assert_eq!(state(&answered), "TASK_STATE_COMPLETED", "{answered}");
    let events = one.events(id).await.rest_after(0).await;
    assert!(
        !serde_json::to_string(&events).unwrap().contains("\"agentmesh/attempt\":2"),
        "the same attempt went on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_finds_no_place_at_its_host_is_run_by_another() {
    let (one, other) = two(&shared()).await;
    let hanging = one.begin("hang").await;
    one.events(&hanging).await.until("hanging").await;
    assert_eq!(state(&one.send("echo elsewhere").await), "TASK_STATE_COMPLETED");
    assert_eq!(state(&other.get(&hanging).await), "TASK_STATE_WORKING");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_at_two_hosts_makes_one_task() {
    let (one, other) = two(&shared()).await;
    let params = json!({ "message": message("echo once") });
    let (first, second) =
        tokio::join!(one.rpc("SendMessage", params.clone()), other.rpc("SendMessage", params));
    assert_eq!(first["result"]["task"]["id"], second["result"]["task"]["id"], "{first} {second}");
}

#[test]
fn a_host_that_vanishes_is_replaced_within_its_lease() {
    let log = shared();
    let file = tempfile::tempdir().unwrap();
    let go = file.path().join("go");
    let rest = runtime();
    let other = rest.block_on(async { Bench::on(small(), Arc::clone(&log)).await.ready().await });
    let busy = rest.block_on(async {
        let id = other.begin("hang").await;
        other.events(&id).await.until("hanging").await;
        id
    });
    let first = runtime();
    let (running, asking) = first.block_on(async {
        let one = Bench::on(small(), Arc::clone(&log)).await.ready().await;
        let asking = one.send("ask who?").await["id"].as_str().unwrap().to_owned();
        let running = one.begin(&format!("wait-file {} && echo done", go.display())).await;
        one.events(&running).await.until("waiting").await;
        (running, asking)
    });
    first.shutdown_timeout(Duration::from_secs(10));
    std::fs::write(&go, "").unwrap();
    rest.block_on(async {
        other.cancel(&busy).await;
        let events = other.events(&running).await.rest_after(0).await;
        let text = serde_json::to_string(&events).unwrap();
        assert!(text.contains("its host was lost") && text.contains("TASK_STATE_COMPLETED"), "{text}");
        assert_eq!(state(&other.answer(&asking, "Ada").await), "TASK_STATE_COMPLETED");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_shuts_down_hands_its_task_over_and_nothing_counts_as_lost() {
    let log = shared();
    let mut settings = small();
    settings.agent.tasks.on_worker_loss = mesh_config::OnWorkerLoss::Fail;
    let one = Bench::on(settings.clone(), Arc::clone(&log)).await.ready().await;
    let file = tempfile::tempdir().unwrap();
    let go = file.path().join("go");
    let id = one.begin(&format!("wait-file {} && echo done", go.display())).await;
    one.events(&id).await.until("waiting").await;
    let other = Bench::on(settings, Arc::clone(&log)).await.ready().await;
    one.host.shutdown(Duration::ZERO).await;
    std::fs::write(&go, "").unwrap();
    let events = other.events(&id).await.rest_after(0).await;
    let text = serde_json::to_string(&events).unwrap();
    assert!(text.contains("the host shuts down") && text.contains("TASK_STATE_COMPLETED"), "{text}");
}
