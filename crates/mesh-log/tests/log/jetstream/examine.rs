//! A stream from outside.

use super::Server;
use crate::build::{key, step};
use async_nats::jetstream;
use mesh_log::{EventLog, JetStreamLog, JetStreamOptions};
use std::time::Duration;

#[tokio::test]
async fn a_stream_is_not_made_for_looking_at_it() {
    let server = Server::start();
    let mut options = JetStreamOptions::new(server.url());
    (options.create, options.open_timeout) = (false, Duration::from_millis(500));
    let refused = JetStreamLog::open(options).await.unwrap_err().to_string();
    assert!(refused.contains("mesh-log is not there"), "{refused}");
    let client = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    assert!(
        client.get_stream("mesh-log").await.is_err() && client.get_stream("KV_mesh-records").await.is_err()
    );
}

#[tokio::test]
async fn unfinished_tasks_are_read_and_wrong_settings_are_named() {
    let server = Server::start();
    let log = JetStreamLog::open(JetStreamOptions::new(server.url())).await.unwrap();
    // No host has written these.
    log.append(step(&key("t", "1"), 0, 3)).await.unwrap();
    log.close().await;
    let client = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut config = client.get_stream("mesh-log").await.unwrap().cached_info().config.clone();
    config.max_age = Duration::from_secs(3600);
    client.update_stream(config).await.unwrap();
    let log = JetStreamLog::open(JetStreamOptions { create: false, ..JetStreamOptions::new(server.url()) })
        .await
        .unwrap();
    let mut heard = 0;
    let found = log.examine(&["sales".into(), "other".into()], 3, &mut |tasks| heard = tasks).await.unwrap();
    let kinds: Vec<(&str, Option<&str>)> =
        found.findings.iter().map(|finding| (finding.kind, finding.task.as_deref())).collect();
    assert!(
        kinds.contains(&("wrong-setting", None)) && kinds.contains(&("other-replicas", None)),
        "{kinds:?}"
    );
    assert!(kinds.contains(&("unreadable-event", Some("t/1"))), "{kinds:?}");
    assert_eq!((found.facts.tasks, found.facts.events, heard, found.is_sound()), (1, 3, 1, false));
}
