//! Trimming with several processes, servers that die, and streams that are full or of an earlier version.

use super::{Server, open};
use crate::build::{
    With, all, assert_gone, assert_trimmed, assert_whole, is_conflict, key, removed, step, trimmed,
};
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{Seq, TaskKey, Timestamp};
use mesh_log::{Append, Ended, EventLog, JetStreamLog, JetStreamOptions, LogError};

async fn ended(log: &dyn EventLog, key: &TaskKey, last: Seq) {
    log.append(step(key, 0, last - 1).creates(key.task.as_str())).await.unwrap();
    log.append(step(key, last - 1, 1).state(TaskState::Completed)).await.unwrap();
}

async fn stream(server: &Server) -> Stream {
    let client = async_nats::connect(server.url()).await.unwrap();
    jetstream::new(client).get_stream("mesh-log").await.unwrap()
}

async fn messages(server: &Server) -> u64 {
    stream(server).await.get_info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_hears_that_a_task_was_trimmed_or_removed() {
    let server = Server::start();
    let (one, other) = tokio::join!(Box::pin(open(&server)), Box::pin(open(&server)));
    for n in 0..30 {
        let (left, gone) = (key("t", &format!("left-{n}")), key("t", &format!("gone-{n}")));
        ended(&one, &left, 5).await;
        ended(&one, &gone, 5).await;
        // Its events are in the rings of both.
        assert_whole(&other, &left, 5).await;
        let changed = one.trim(vec![trimmed(&left, 5), removed(&gone, 5)]).await.unwrap();
        assert_eq!(changed.len(), 2);
        assert_gone(&other, &gone).await;
        assert_eq!(other.list(all("t")).await.unwrap().total, n + 1);
        assert_trimmed(&other, &left, 5).await;
        assert!(is_conflict(&other.append(step(&gone, 5, 1)).await, 0));
        let message = gone.task.as_str().into();
        let made = other.created_by(&"t".into(), &"local".into(), &"sales".into(), &message).await.unwrap();
        assert_eq!(made, None);
    }
    let whole = Ended::Whole { after: None };
    assert!(other.ended(&"sales".into(), Timestamp(i64::MAX), whole, 9).await.unwrap().is_empty());
    let every = Ended::Beyond { keep: 0 };
    assert_eq!(other.ended(&"sales".into(), Timestamp(i64::MAX), every, 99).await.unwrap().len(), 30);
    assert_eq!(messages(&server).await, 60, "one message is left of each task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_later_and_servers_that_are_killed_find_what_is_left() {
    let mut server = Server::start();
    let log = open(&server).await;
    let (left, gone, new) = (key("t", "left"), key("t", "gone"), key("t", "new"));
    ended(&log, &left, 50).await;
    for round in 0..3 {
        ended(&log, &gone, 50).await;
        log.trim(vec![trimmed(&left, 50), removed(&gone, 50)]).await.unwrap();
        server.kill();
        server.restart();
        assert_trimmed(&log, &left, 50).await;
        assert_gone(&log, &gone).await;
        let later = open(&server).await;
        assert_trimmed(&later, &left, 50).await;
        assert_gone(&later, &gone).await;
        assert_eq!(later.list(all("t")).await.unwrap().total, 1 + round.min(1));
        // Its message, and its name, are free again.
        if round == 0 {
            later.append(step(&new, 0, 2).creates("m").state(TaskState::Failed)).await.unwrap();
        }
    }
    ended(&log, &gone, 3).await;
    assert_whole(&open(&server).await, &gone, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_did_not_hear_of_a_removal_finds_it_out() {
    let server = Server::start();
    let log = open(&server).await;
    let key = key("t", "1");
    ended(&log, &key, 5).await;
    // As if what says so had gone before it was heard.
    stream(&server).await.purge().await.unwrap();
    assert_eq!(log.list(all("t")).await.unwrap().total, 1);
    assert_eq!(log.head(&key).await.unwrap(), None);
    assert_eq!(log.trim(vec![removed(&key, 5)]).await.unwrap(), []);
    assert_eq!(log.list(all("t")).await.unwrap().total, 0);
    ended(&log, &key, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_an_earlier_version_learns_to_trim_and_keeps_its_tasks() {
    let server = Server::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let old = Config {
        name: "mesh-log".to_owned(),
        subjects: vec!["mesh.ev.*.*.*".to_owned()],
        discard: DiscardPolicy::New,
        allow_direct: true,
        max_bytes: 1 << 30,
        ..Config::default()
    };
    jetstream::new(client).create_stream(old).await.unwrap();
    let (one, other) = tokio::join!(Box::pin(open(&server)), Box::pin(open(&server)));
    let config = stream(&server).await.cached_info().config.clone();
    assert!(config.allow_rollup && config.allow_message_ttl && config.max_bytes == 1 << 30);
    let key = key("t", "1");
    ended(&one, &key, 5).await;
    other.trim(vec![trimmed(&key, 5)]).await.unwrap();
    assert_trimmed(&one, &key, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_takes_the_removal_of_a_task_and_then_appends_again() {
    let server = Server::start();
    let options = JetStreamOptions { max_bytes: 64 << 10, ..JetStreamOptions::new(server.url()) };
    let log = JetStreamLog::open(options).await.unwrap();
    let (old, new) = (key("t", "old"), key("t", "new"));
    ended(&log, &old, 20).await;
    let mut seq = 0;
    let append = |seq| -> Append { step(&new, seq, 1) };
    while let Ok(last) = log.append(append(seq)).await {
        seq = last;
        assert!(seq < 10_000);
    }
    assert_eq!(log.trim(vec![removed(&old, 20)]).await.unwrap(), std::slice::from_ref(&old));
    assert_gone(&log, &old).await;
    assert_eq!(log.append(append(seq)).await.unwrap(), seq + 1);
    assert_whole(&log, &new, seq + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_too_large_for_a_message_leaves_the_task_as_it_was() {
    let server = Server::start();
    let log = open(&server).await;
    let (large, small) = (key("t", "1"), key("t", "2"));
    ended(&log, &large, 5).await;
    ended(&log, &small, 5).await;
    let mut trim = trimmed(&large, 5);
    trim.snapshot = Some(Bytes::from(vec![b'x'; 8 << 20]));
    assert_eq!(log.trim(vec![trim, trimmed(&small, 5)]).await.unwrap(), std::slice::from_ref(&small));
    assert_whole(&log, &large, 5).await;
    assert_trimmed(&log, &small, 5).await;
    log.close().await;
    assert!(matches!(log.trim(vec![trimmed(&large, 5)]).await, Err(LogError::Closed)));
}
