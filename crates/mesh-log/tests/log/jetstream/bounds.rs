//! What is refused: at the start, and when a bound is reached.

use super::{Server, open};
use crate::build::{all, assert_whole, key, step};
use async_nats::jetstream;
use bytes::Bytes;
use mesh_log::{AppendError, EventLog, JetStreamLog, JetStreamOptions, LogError};

async fn refusal(options: JetStreamOptions) -> String {
    match JetStreamLog::open(options).await {
        Err(LogError::Refused { reason, .. }) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn full<T: std::fmt::Debug>(outcome: Result<T, AppendError>) -> String {
    match outcome {
        Err(AppendError::Log(LogError::Full(why))) => why,
        other => panic!("expected a full log, got {other:?}"),
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_says_why() {
    let mut server = Server::start();
    let options =
        |name: &str| JetStreamOptions { name: name.to_owned(), ..JetStreamOptions::new(server.url()) };
    assert!(refusal(options("a.b")).await.contains("is not a name for a stream"));
    let client = async_nats::connect(server.url()).await.unwrap();
    let foreign = jetstream::stream::Config {
        name: "theirs-log".to_owned(),
        subjects: vec!["theirs.>".to_owned()],
        ..Default::default()
    };
    jetstream::new(client).create_stream(foreign).await.unwrap();
    assert!(refusal(options("theirs")).await.contains("was not made by Agent Mesh"));
    let url = server.url();
    server.kill();
    let reason = refusal(JetStreamOptions::new(url)).await;
    assert!(reason.contains("cannot connect"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_too_large_for_a_message_is_refused() {
    let server = Server::start();
    let log = open(&server).await;
    let key = key("t", "1");
    let mut append = step(&key, 0, 1);
    append.events[0].public = Bytes::from(vec![b'x'; 8 << 20]);
    assert!(full(log.append(append).await).contains("raise max_payload"));
    assert_eq!(log.append(step(&key, 0, 1)).await.unwrap(), 1);
    assert_whole(&log, &key, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_full_refuses_and_keeps_serving() {
    let server = Server::start();
    let options = JetStreamOptions { max_bytes: 64 << 10, ..JetStreamOptions::new(server.url()) };
    let log = JetStreamLog::open(options).await.unwrap();
    let key = key("t", "1");
    let mut seq = 0;
    let why = loop {
        match log.append(step(&key, seq, 5)).await {
            Ok(last) => seq = last,
            other => break full(other),
        }
        assert!(seq < 10_000);
    };
    assert!(why.contains("maximum bytes exceeded"), "{why}");
    let mut creation = step(&crate::build::key("t", "2"), 0, 100);
    creation.creates = Some("m".into());
    full(log.append(creation).await);
    assert_eq!(
        log.created_by(&"t".into(), &"local".into(), &"sales".into(), &"m".into()).await.unwrap(),
        None
    );
    assert_whole(&log, &key, seq).await;
    assert_eq!(log.list(all("t")).await.unwrap().total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_tasks_and_more_appends_than_configured_are_refused() {
    let server = Server::start();
    let options = JetStreamOptions { max_tasks: 2, in_flight: 1, ..JetStreamOptions::new(server.url()) };
    let log = JetStreamLog::open(options).await.unwrap();
    for task in ["1", "2"] {
        log.append(step(&key("t", task), 0, 1)).await.unwrap();
    }
    assert!(full(log.append(step(&key("t", "3"), 0, 1)).await).contains("its 2 tasks"));
    let (one, two) = (key("t", "1"), key("t", "2"));
    let (first, second) = tokio::join!(log.append(step(&one, 1, 1)), log.append(step(&two, 1, 1)));
    assert_eq!(first.unwrap(), 2);
    assert!(matches!(second, Err(AppendError::Log(LogError::Overloaded))), "{second:?}");
    assert_eq!(log.append(step(&two, 1, 1)).await.unwrap(), 2);
}
