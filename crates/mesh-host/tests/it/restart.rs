use crate::support::{Bench, settings, state};
use mesh_log::{EventLog, SqliteLog, SqliteOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn open(directory: &Path) -> Arc<dyn EventLog> {
    Arc::new(
        SqliteLog::open(&directory.join("events.db"), SqliteOptions::default()).expect("the store opens"),
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_host_that_vanished_takes_its_tasks_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("go");
    let program = format!("wait-file {} && echo done", file.display());
    let first = runtime();
    let (running, asking) = first.block_on(async {
        let bench = Bench::on(settings(), open(directory.path())).await.ready().await;
        let running = bench.begin(&program).await;
        bench.events(&running).await.until("waiting").await;
        let asking = bench.send("ask who?").await["id"].as_str().unwrap().to_owned();
        (running, asking)
    });
    first.shutdown_timeout(Duration::from_secs(10));
    std::fs::write(&file, "").unwrap();
    runtime().block_on(async {
        let bench = Bench::on(settings(), open(directory.path())).await;
        let events = bench.events(&running).await.rest_after(0).await;
        assert!(serde_json::to_string(&events).unwrap().contains("the host was restarted"));
        assert_eq!(state(&bench.get(&running).await), "TASK_STATE_COMPLETED");
        assert_eq!(state(&bench.get(&asking).await), "TASK_STATE_INPUT_REQUIRED");
        assert_eq!(state(&bench.answer(&asking, "Ada").await), "TASK_STATE_COMPLETED");
    });
}

#[test]
fn shutdown_records_nothing_as_lost_that_the_next_start_goes_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let first = runtime();
    let id = first.block_on(async {
        let log = open(directory.path());
        let bench = Bench::on(settings(), Arc::clone(&log)).await.ready().await;
        let id = bench.begin("hang").await;
        bench.events(&id).await.until("hanging").await;
        bench.host.shutdown(Duration::ZERO).await;
        assert_eq!(state(&bench.get(&id).await), "TASK_STATE_SUBMITTED");
        let seen = bench.events(&id).await.rest_after(0).await;
        assert!(!serde_json::to_string(&seen).unwrap().contains("attemptLost"));
        log.close().await;
        id
    });
    drop(first);
    runtime().block_on(async {
        let bench = Bench::on(settings(), open(directory.path())).await;
        assert_eq!(state(&bench.cancel(&id).await), "TASK_STATE_CANCELED");
    });
}
