//! Three servers that keep the stream together.

use super::Server;
use crate::build::{With, all, assert_gone, assert_trimmed, assert_whole, key, removed, step, trimmed};
use async_nats::jetstream;
use mesh_core::model::TaskState;
use mesh_core::{Seq, TaskKey};
use mesh_log::{AppendError, EventLog, JetStreamLog, JetStreamOptions, LogError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

async fn open(servers: &[Server; 3]) -> Arc<JetStreamLog> {
    let urls = servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let options = JetStreamOptions { replicas: 3, ..JetStreamOptions::new(urls) };
    Arc::new(JetStreamLog::open(options).await.unwrap())
}

/// Which server leads the stream.
async fn leader(servers: &[Server; 3], asked: usize) -> usize {
    let client = async_nats::connect(servers[asked].url()).await.unwrap();
    loop {
        if let Ok(stream) = jetstream::new(client.clone()).get_stream("mesh-log").await
            && let Some(name) = stream.cached_info().cluster.as_ref().and_then(|it| it.leader.as_deref())
        {
            return name.trim_start_matches('n').parse().unwrap();
        }
    }
}

/// An owner that goes on whatever happens: after a failure it looks where its task is.
async fn own(
    log: Arc<JetStreamLog>,
    key: TaskKey,
    acknowledged: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
) -> Seq {
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        match log.append(step(&key, seq, 1 + seq % 3)).await {
            Ok(last) => {
                seq = last;
                acknowledged.send_modify(|count| *count += 1);
            }
            Err(AppendError::Conflict { actual, .. }) => {
                assert!(actual >= seq, "{key}: {seq} was acknowledged, and now it is {actual}");
                seq = actual;
            }
            Err(AppendError::Log(LogError::Failed(_))) => {}
            Err(error) => panic!("{error}"),
        }
    }
    seq
}

/// The number of a task's last event, as soon as there are enough servers again to say so.
async fn head_in_the_end(log: &JetStreamLog, key: &TaskKey) -> Seq {
    loop {
        match log.head(key).await {
            Ok(head) => return head.unwrap().seq,
            Err(LogError::Failed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn append_in_the_end(log: &JetStreamLog, key: &TaskKey) -> Seq {
    loop {
        let seq = head_in_the_end(log, key).await;
        match log.append(step(key, seq, 1)).await {
            Ok(last) => return last,
            Err(AppendError::Conflict { .. } | AppendError::Log(LogError::Failed(_))) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn wait_for_more(acknowledged: &watch::Sender<u64>, appends: u64) {
    let mut acknowledged = acknowledged.subscribe();
    let goal = *acknowledged.borrow() + appends;
    let waiting = acknowledged.wait_for(|count| *count >= goal);
    timeout(Duration::from_secs(60), waiting).await.expect("appends are acknowledged again").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_loses_nothing_acknowledged_and_a_minority_takes_nothing() {
    let mut servers = Server::cluster();
    let (one, other) = tokio::join!(open(&servers), open(&servers));
    let (acknowledged, stop) = (watch::channel(0).0, Arc::new(AtomicBool::new(false)));
    let mut owners = JoinSet::new();
    for n in 0..8 {
        let key = key("t", &n.to_string());
        let owner = own(Arc::clone(&one), key.clone(), acknowledged.clone(), Arc::clone(&stop));
        owners.spawn(async move { (key, owner.await) });
    }
    wait_for_more(&acknowledged, 50).await;
    let leading = leader(&servers, 0).await;
    servers[leading].kill();
    wait_for_more(&acknowledged, 50).await;
    servers[leading].restart();
    wait_for_more(&acknowledged, 50).await;
    stop.store(true, Ordering::Relaxed);
    for (key, seq) in owners.join_all().await {
        assert_whole(&*one, &key, seq).await;
        assert_whole(&*other, &key, seq).await;
    }
    assert_eq!(other.list(all("t")).await.unwrap().total, 8);

    let fresh = key("t", "fresh");
    one.append(step(&fresh, 0, 1).creates("m")).await.unwrap();
    assert_whole(&*other, &fresh, 1).await;
    let leading = leader(&servers, 0).await;
    let (first, second) = ((leading + 1) % 3, (leading + 2) % 3);
    servers[first].kill();
    servers[second].kill();
    let begin = Instant::now();
    let refused = one.append(step(&fresh, 1, 1)).await;
    assert!(matches!(refused, Err(AppendError::Log(LogError::Failed(_)))), "{refused:?}");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    servers[first].restart();
    servers[second].restart();
    let last = timeout(Duration::from_secs(60), append_in_the_end(&other, &fresh)).await.unwrap();
    timeout(Duration::from_secs(60), head_in_the_end(&one, &fresh)).await.unwrap();
    assert_whole(&*one, &fresh, last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_leaves_every_task_trimmed_or_as_it_was() {
    let mut servers = Server::cluster();
    let (one, other) = tokio::join!(open(&servers), open(&servers));
    let keys: Vec<TaskKey> = (0..40).map(|n| key("t", &format!("{n:02}"))).collect();
    for key in &keys {
        one.append(step(key, 0, 5).creates(key.task.as_str())).await.unwrap();
        one.append(step(key, 5, 1).state(TaskState::Completed)).await.unwrap();
    }
    let work = |log: Arc<JetStreamLog>, first: usize| {
        let keys = keys.clone();
        async move {
            // Half of them is trimmed, half of them goes; both processes try all of them.
            for n in (0..keys.len()).map(|n| (n + first) % keys.len()) {
                let key = &keys[n];
                let task = if n % 2 == 0 { trimmed(key, 6) } else { removed(key, 6) };
                while let Err(error) = log.trim(vec![task.clone()]).await {
                    assert!(matches!(error, LogError::Failed(_)), "{error}");
                }
            }
        }
    };
    let mut working = JoinSet::new();
    working.spawn(work(Arc::clone(&one), 0));
    working.spawn(work(Arc::clone(&other), 20));
    let leading = leader(&servers, 0).await;
    servers[leading].kill();
    timeout(Duration::from_secs(60), working.join_all()).await.expect("it goes on");
    servers[leading].restart();
    for log in [&one, &other, &open(&servers).await] {
        assert_eq!(log.list(all("t")).await.unwrap().total, 20);
        for (n, key) in keys.iter().enumerate() {
            if n % 2 == 0 {
                assert_trimmed(&**log, key, 6).await;
            } else {
                assert_gone(&**log, key).await;
            }
        }
    }
}
