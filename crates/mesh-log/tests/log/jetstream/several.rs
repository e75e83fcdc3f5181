//! Several processes' worth of logs on one server.

use super::{Server, open};
use crate::build::{With, all, assert_events, assert_whole, is_conflict, key, step};
use async_nats::jetstream;
use futures_util::TryStreamExt;
use mesh_core::model::TaskState;
use mesh_log::{AppendError, EventLog, Expect, JetStreamLog, JetStreamOptions, ReadLimit, RecordKey, Space};
use std::sync::Arc;
use tokio::task::JoinSet;

async fn two() -> (Server, Arc<JetStreamLog>, Arc<JetStreamLog>) {
    let server = Server::start();
    let (one, other) = tokio::join!(Box::pin(open(&server)), Box::pin(open(&server)));
    (server, Arc::new(one), Arc::new(other))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_append_to_a_task_one_wins_each_time() {
    let (_server, one, other) = two().await;
    let key = key("t", "1");
    for round in 0..50 {
        let (first, second) =
            tokio::join!(one.append(step(&key, round, 1)), other.append(step(&key, round, 1)));
        let outcomes = [first, second];
        assert_eq!(outcomes.iter().flatten().count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| is_conflict(outcome, round + 1)).count(), 1);
    }
    assert_whole(&*one, &key, 50).await;
    assert_whole(&*other, &key, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_sees_what_another_has_acknowledged() {
    let (_server, one, other) = two().await;
    for n in 0..50 {
        let key = key("t", &format!("{n:02}"));
        one.append(step(&key, 0, 2).creates(&n.to_string()).at(n)).await.unwrap();
        assert_whole(&*other, &key, 2).await;
        assert_eq!(*other.tail(&key).await.unwrap().borrow(), 2);
        let page = other.list(all("t")).await.unwrap();
        assert_eq!((page.total, &page.heads[0].key), (n as u64 + 1, &key));
        assert_eq!(other.unfinished(&"sales".into(), None, 100).await.unwrap().len() as u64, page.total);
        let message = n.to_string().as_str().into();
        let made = other.created_by(&"t".into(), &"local".into(), &"sales".into(), &message).await.unwrap();
        assert_eq!(made, Some(key.task.clone()));
    }
    // The other one goes on, and then ends it.
    let key = key("t", "07");
    assert_eq!(other.append(step(&key, 2, 1)).await.unwrap(), 3);
    assert!(is_conflict(&one.append(step(&key, 2, 1)).await, 3));
    other.append(step(&key, 3, 1).state(TaskState::Completed)).await.unwrap();
    assert_eq!(one.unfinished(&"sales".into(), None, 100).await.unwrap().len(), 49);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_sent_to_two_processes_creates_one_task() {
    let (_server, one, other) = two().await;
    for round in 0..10 {
        let mut racing = JoinSet::new();
        for n in 0..8 {
            let log = Arc::clone([&one, &other][n % 2]);
            let append = step(&key("t", &format!("{round}-{n}")), 0, 2).creates(&round.to_string());
            racing.spawn(async move { (append.head.key.task.clone(), log.append(append).await) });
        }
        let outcomes = racing.join_all().await;
        let made: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!(made.len(), 1, "{outcomes:?}");
        for (task, outcome) in &outcomes {
            match outcome {
                Ok(_) => {}
                Err(AppendError::Duplicate(first)) => assert!(*first == made[0].0 && first != task),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(other.list(all("t")).await.unwrap().total, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_followers_in_another_process_need_one_consumer() {
    let (server, one, other) = two().await;
    let key = key("t", "1");
    one.append(step(&key, 0, 1)).await.unwrap();
    let mut followers = JoinSet::new();
    for _ in 0..1000 {
        let (log, key) = (Arc::clone(&other), key.clone());
        let mut tail = log.tail(&key).await.unwrap();
        followers.spawn(async move {
            let mut events = Vec::new();
            while events.len() < 200 {
                let position = events.len() as u64;
                if *tail.borrow_and_update() <= position {
                    tail.changed().await.unwrap();
                    continue;
                }
                events.extend(log.read(&key, position, ReadLimit::default()).await.unwrap());
            }
            assert_events(&events, &key, 1, 200);
        });
    }
    for seq in 1..200 {
        one.append(step(&key, seq, 1)).await.unwrap();
    }
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("mesh-log").await.unwrap();
    let consumers: Vec<_> = stream.consumer_names().try_collect().await.unwrap();
    followers.join_all().await;
    // Two logs; and a consumer that was replaced at the start lives on for a while.
    assert!(consumers.len() <= 4, "{consumers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_later_finds_everything() {
    let server = Server::start();
    let first = open(&server).await;
    for n in 0..300 {
        let key = key("t", &n.to_string());
        first.append(step(&key, 0, 1).creates(&n.to_string()).at(n)).await.unwrap();
        first.append(step(&key, 1, 2)).await.unwrap();
    }
    first.close().await;
    let second = open(&server).await;
    assert_eq!(second.list(all("t")).await.unwrap().total, 300);
    assert_eq!(second.unfinished(&"sales".into(), None, 1000).await.unwrap().len(), 300);
    assert_whole(&second, &key("t", "123"), 3).await;
    assert!(matches!(
        second.append(step(&key("t", "again"), 0, 1).creates("123")).await,
        Err(AppendError::Duplicate(task)) if task.as_str() == "123"
    ));
    assert_eq!(second.append(step(&key("t", "123"), 3, 1)).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meshes_on_one_server_share_nothing() {
    let server = Server::start();
    let named =
        |name: &str| JetStreamOptions { name: name.to_owned(), ..JetStreamOptions::new(server.url()) };
    let one = JetStreamLog::open(named("one")).await.unwrap();
    let other = JetStreamLog::open(named("other")).await.unwrap();
    let key = key("t", "1");
    one.append(step(&key, 0, 3).creates("m")).await.unwrap();
    assert_eq!(other.head(&key).await.unwrap(), None);
    assert_eq!(other.list(all("t")).await.unwrap().total, 0);
    assert_eq!(other.append(step(&key, 0, 1).creates("m")).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_sees_the_records_of_another_and_hears_of_them() {
    let (_server, one, other) = two().await;
    let key = RecordKey::new(Space::Hosts, "t".into(), "agent/1");
    let mut changes = other.records().changes(Space::Hosts).await.unwrap();
    for round in 0..50 {
        changes.mark_unchanged();
        let version = one.records().put(&key, round.to_string().into(), Expect::Anything).await.unwrap();
        let listed = other.records().list(Space::Hosts, None, "agent/", None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|record| record.version).collect::<Vec<_>>(), [version]);
        other.records().delete(&key, Expect::Version(version)).await.unwrap();
        assert!(one.records().list(Space::Hosts, None, "", None, 10).await.unwrap().is_empty());
        changes.changed().await.unwrap();
    }
}
