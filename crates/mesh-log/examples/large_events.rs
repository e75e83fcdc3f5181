//! What it costs to keep large events apart from their rows: appending them, reading them, and going over a task without
//! them.
//!
//! ```text
//! cargo run --release -p mesh-log --example large_events [events] [directory]
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program")]

use bytes::Bytes;
use mesh_core::lifecycle::{Control, Phase};
use mesh_core::model::TaskState;
use mesh_core::{AgentName, Clock, Principal, Seq, SystemClock, TaskId, TaskKey, TraceContext};
use mesh_log::{Append, EventLog, NewEvent, ReadLimit, SqliteLog, SqliteOptions, TailCache, TaskHead};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let events: Seq = arguments.next().map_or(500, |text| text.parse().unwrap());
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{:>8} {:>6} {:>12} {:>12} {:>15}", "bytes", "kept", "append ms", "read ms", "go over ms");
    for size in [1, 2, 4, 8, 16, 32, 64, 256].map(|kib| kib << 10) {
        for (kept, in_row) in [("row", usize::MAX), ("apart", 0)] {
            let path = place.join(format!("large_events-{}.db", std::process::id()));
            let options = SqliteOptions {
                in_row,
                tail_cache: TailCache { task_events: 0, task_bytes: 0, total_bytes: 0 },
                ..SqliteOptions::default()
            };
            let log = SqliteLog::open(&path, options.clone()).unwrap();
            let key = TaskKey::new("default".into(), TaskId::generate());
            let begin = Instant::now();
            for seq in 0..events {
                log.append(append(&key, seq, size)).await.unwrap();
            }
            let appended = begin.elapsed().as_secs_f64() * 1e3 / events as f64;
            log.close().await;
            let log = SqliteLog::open(&path, options).unwrap();
            let whole = time_to_read(&log, &key, ReadLimit::default()).await;
            let without = ReadLimit { without: Some(b"xxxx"), ..ReadLimit::default() };
            let over = time_to_read(&log, &key, without).await;
            println!("{size:>8} {kept:>6} {appended:>12.3} {whole:>12.1} {over:>15.2}");
            log.close().await;
            for end in ["", "-wal", "-shm", ".lock"] {
                let _ = std::fs::remove_file(format!("{}{end}", path.display()));
            }
        }
    }
}

/// The shortest of some times, in milliseconds.
async fn time_to_read(log: &SqliteLog, key: &TaskKey, limit: ReadLimit) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        let mut after = 0;
        while let Some(last) = log.read(key, after, limit).await.unwrap().last() {
            after = last.seq;
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    best
}

fn append(key: &TaskKey, expected_seq: Seq, size: usize) -> Append {
    let head = TaskHead {
        key: key.clone(),
        context_id: "c".into(),
        state: TaskState::Working,
        status_at: SystemClock.now(),
        first: 1,
        seq: 0,
        control: Control {
            agent: AgentName::new("sales"),
            owner: Principal::local(),
            phase: Phase::Running(1),
            holder: None,
            attempts: 1,
            losses: 0,
            answers: Vec::new(),
            received: Vec::new(),
            trace: TraceContext::root(),
            created: SystemClock.now(),
            touched: BTreeSet::new(),
        },
    };
    let event = NewEvent { public: Bytes::from(vec![b'x'; size]), private: None };
    Append { expected_seq, events: vec![event], head, creates: None }
}
