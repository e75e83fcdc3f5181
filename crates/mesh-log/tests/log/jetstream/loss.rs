//! Servers that die, and connections that are cut.

use super::{Server, open, proxy::Cut, proxy::Proxy};
use crate::build::{With, all, assert_whole, content, key, read_all, step};
use mesh_core::TaskKey;
use mesh_log::{Append, AppendError, EventLog, JetStreamLog, JetStreamOptions, LogError, ReadLimit};
use std::time::{Duration, Instant};

/// Short enough to wait for.
async fn impatient(url: String) -> JetStreamLog {
    let options = JetStreamOptions { timeout: Duration::from_secs(2), ..JetStreamOptions::new(url) };
    JetStreamLog::open(options).await.unwrap()
}

fn failed<T: std::fmt::Debug>(outcome: Result<T, AppendError>) -> String {
    match outcome {
        Err(AppendError::Log(LogError::Failed(why))) => why,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_acknowledged() {
    let mut server = Server::start();
    let (log, other) = (open(&server).await, open(&server).await);
    let key = key("t", "1");
    let mut tail = other.tail(&key).await.unwrap();
    let mut seq = 0;
    for round in 0..4 {
        for _ in 0..20 {
            seq = log.append(step(&key, seq, 2)).await.unwrap();
        }
        server.kill();
        server.restart();
        assert_whole(&log, &key, seq).await;
        seq = log.append(step(&key, seq, 1)).await.unwrap();
        tail.wait_for(|tail| *tail == seq).await.unwrap();
        let page = other.list(all("t")).await.unwrap();
        assert_eq!((page.total, page.heads[0].seq), (1, seq), "round {round}");
    }
    log.close().await;
    assert_whole(&open(&server).await, &key, seq).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_server_everything_fails_in_time_and_later_works_again() {
    let mut server = Server::start();
    let log = impatient(server.url()).await;
    let key = key("t", "1");
    log.append(step(&key, 0, 1)).await.unwrap();
    server.kill();
    let begin = Instant::now();
    let (append, create, head, list, tail) = tokio::join!(
        log.append(step(&key, 1, 1)),
        log.append(step(&TaskKey::new("t".into(), "2".into()), 0, 1).creates("m")),
        log.head(&key),
        log.list(all("t")),
        log.tail(&key),
    );
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    failed(append);
    let why = failed(create);
    assert!(head.is_err() && list.is_err() && tail.is_err());
    // What is in memory is still there.
    assert_eq!(log.read(&key, 0, ReadLimit::default()).await.unwrap().len(), 1);
    server.restart();
    append_until_recorded(&log, &key).await;
    // What was on its way when the server died may be delivered to the next one. Then it has made its task, once.
    let again = log.append(step(&TaskKey::new("t".into(), "3".into()), 0, 1).creates("m")).await;
    match again {
        Err(AppendError::Duplicate(made)) => {
            assert!(made.as_str() == "2" && why.contains("not known"), "{why}")
        }
        other => assert_eq!(other.unwrap(), 1),
    }
    assert_eq!(log.list(all("t")).await.unwrap().total, 2);
}

/// What an owner does after a failure: looks where the task is, and goes on from there.
async fn append_until_recorded(log: &JetStreamLog, key: &TaskKey) {
    let mut seq = log.head(key).await.unwrap().unwrap().seq;
    loop {
        match log.append(step(key, seq, 1)).await {
            Ok(last) => return assert_whole(log, key, last).await,
            Err(AppendError::Conflict { actual, .. }) => seq = actual,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_frozen_blocks_nobody_and_what_it_took_is_there_once() {
    let server = Server::start();
    let log = impatient(server.url()).await;
    let key = key("t", "1");
    log.append(step(&key, 0, 1)).await.unwrap();
    server.signal("STOP");
    let begin = Instant::now();
    // It may take one or two more before all of its threads stand still.
    let mut seq = 1;
    let outcome = loop {
        match log.append(step(&key, seq, 1)).await {
            Ok(last) => seq = last,
            refused => break refused,
        }
    };
    let why = failed(outcome);
    assert!(why.contains("not known"), "{why}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    server.signal("CONT");
    append_until_recorded(&log, &key).await;
}

async fn cut(how: Cut, append: Append) {
    let server = Server::start();
    let proxy = Proxy::start(server.address()).await;
    let log = JetStreamLog::open(JetStreamOptions::new(proxy.url())).await.unwrap();
    let first = key("t", "first");
    log.append(step(&first, 0, 1)).await.unwrap();
    let (task, count) = (append.head.key.clone(), append.events.len() as u64);
    proxy.cut_at(how, &content(&task, append.expected_seq + 1));
    assert_eq!(log.append(append.clone()).await.unwrap(), append.expected_seq + count);
    assert_eq!(proxy.cuts(), 1);
    assert_whole(&log, &task, append.expected_seq + count).await;
    let again = log.append(append.clone()).await;
    match append.creates {
        Some(_) => {
            assert!(matches!(&again, Err(AppendError::Duplicate(made)) if *made == task.task), "{again:?}")
        }
        None => assert!(matches!(again, Err(AppendError::Conflict { .. })), "{again:?}"),
    }
    // Not through the proxy, and not from memory.
    let fresh = open(&server).await;
    assert_eq!(
        read_all(&fresh, &task, 0, ReadLimit::default()).await.len() as u64,
        append.expected_seq + count
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_cut_off_on_its_way_is_recorded_once() {
    cut(Cut::Request, step(&key("t", "first"), 1, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_is_cut_off_is_recorded_once() {
    cut(Cut::Answer, step(&key("t", "first"), 1, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_heard_of_before_its_answer_is_missed_is_recorded_once() {
    cut(Cut::OnlyAnswer, step(&key("t", "first"), 1, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_heard_of_before_its_answer_is_missed_is_recorded_once() {
    cut(Cut::OnlyAnswer, step(&key("t", "new"), 0, 3).creates("m")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_cut_off_on_its_way_is_recorded_once() {
    cut(Cut::Request, step(&key("t", "new"), 0, 3).creates("m")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_answer_is_cut_off_is_recorded_once() {
    cut(Cut::Answer, step(&key("t", "new"), 0, 3).creates("m")).await;
}
