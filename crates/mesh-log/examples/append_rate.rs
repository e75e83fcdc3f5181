//! How fast a durable log records tasks: 13 events each, in 3 appends, by 1, 16 and 64 writers, with fsync.
//!
//! ```text
//! cargo run --release -p mesh-log --example append_rate [seconds per line] [directory] [followers per task]
//! cargo run --release -p mesh-log --example append_rate [seconds per line] nats://127.0.0.1:4222 [followers per task]
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program")]

use bytes::Bytes;
use mesh_core::lifecycle::{Control, Phase};
use mesh_core::model::TaskState;
use mesh_core::{
    AgentName, Clock, ContextId, MessageId, Principal, SystemClock, TaskId, TaskKey, TraceContext,
};
use mesh_log::{
    Append, EventLog, JetStreamLog, JetStreamOptions, NewEvent, ReadLimit, SqliteLog, SqliteOptions, TaskHead,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Size of an event's JSON: a status update with a short message, or a chunk of text.
const EVENT_BYTES: usize = 320;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let followers = arguments.next().map_or(0, |text| text.parse().unwrap());
    println!(
        "{:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "writers", "tasks/s", "events/s", "p50 ms", "p99 ms", "max ms", "per sync", "MB/s"
    );
    for writers in [1, 16, 64] {
        let length = Duration::from_secs(seconds);
        match place.to_str().filter(|place| place.starts_with("nats://")) {
            Some(servers) => {
                let name = format!("append_rate-{}-{writers}", std::process::id());
                let options = JetStreamOptions { name, ..JetStreamOptions::new(servers) };
                let log = Arc::new(JetStreamLog::open(options).await.unwrap());
                measure(log, |_| f64::NAN, writers, followers, length).await;
            }
            None => {
                let path = place.join(format!("append_rate-{}-{writers}.db", std::process::id()));
                let log = Arc::new(SqliteLog::open(&path, SqliteOptions::default()).unwrap());
                let per_sync = |log: &SqliteLog| {
                    let usage = log.usage();
                    usage.appends as f64 / usage.commits as f64
                };
                measure(log, per_sync, writers, followers, length).await;
                for end in ["", "-wal", "-shm", ".lock"] {
                    let _ = std::fs::remove_file(format!("{}{end}", path.display()));
                }
            }
        }
    }
}

async fn measure<L: EventLog>(
    log: Arc<L>,
    per_sync: impl Fn(&L) -> f64,
    writers: usize,
    followers: usize,
    length: Duration,
) {
    let begin = Instant::now();
    let running: Vec<_> = (0..writers)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < length {
                    one_task(&log, followers, &mut latencies).await;
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for writer in running {
        latencies.extend(writer.await.unwrap());
    }
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies.len() - 1) as f64 * part) as usize;
        latencies[index].as_secs_f64() * 1e3
    };
    let tasks = latencies.len() as f64 / 3.0 / seconds;
    println!(
        "{writers:>7} {tasks:>9.0} {:>9.0} {:>9.2} {:>9.2} {:>9.2} {:>9.1} {:>8.1}",
        tasks * 13.0,
        at(0.5),
        at(0.99),
        at(1.0),
        per_sync(&log),
        tasks * 13.0 * EVENT_BYTES as f64 / 1e6,
    );
    log.close().await;
}

/// Creation with 2 events, 10 events of work, 1 event that ends it.
async fn one_task<L: EventLog>(log: &Arc<L>, followers: usize, latencies: &mut Vec<Duration>) {
    let key = TaskKey::new("default".into(), TaskId::generate());
    let mut following = Vec::new();
    for _ in 0..followers {
        following.push(tokio::spawn(follow(Arc::clone(log), key.clone())));
    }
    let message = MessageId::generate();
    let context = ContextId::generate();
    let mut expected = 0;
    for (count, state) in [(2, TaskState::Working), (10, TaskState::Working), (1, TaskState::Completed)] {
        let append = Append {
            expected_seq: expected,
            events: (0..count).map(|_| event()).collect(),
            head: TaskHead {
                key: key.clone(),
                context_id: context.clone(),
                state,
                status_at: SystemClock.now(),
                seq: 0,
                first: 1,
                control: control(&message),
            },
            creates: (expected == 0).then(|| message.clone()),
        };
        let begin = Instant::now();
        expected = log.append(append).await.unwrap();
        latencies.push(begin.elapsed());
    }
    for follower in following {
        assert_eq!(follower.await.unwrap(), 13);
    }
}

async fn follow<L: EventLog>(log: Arc<L>, key: TaskKey) -> usize {
    let mut tail = log.tail(&key).await.unwrap();
    let mut read = 0;
    while read < 13 {
        if *tail.borrow_and_update() <= read as u64 {
            tail.changed().await.unwrap();
            continue;
        }
        read += log.read(&key, read as u64, ReadLimit::default()).await.unwrap().len();
    }
    read
}

fn event() -> NewEvent {
    NewEvent { public: Bytes::from(vec![b'x'; EVENT_BYTES]), private: None }
}

fn control(message: &MessageId) -> Control {
    Control {
        agent: AgentName::new("sales"),
        owner: Principal::local(),
        phase: Phase::Running(1),
        holder: None,
        attempts: 1,
        losses: 0,
        answers: Vec::new(),
        received: vec![message.clone()],
        trace: TraceContext::root(),
        created: SystemClock.now(),
        touched: BTreeSet::new(),
    }
}
