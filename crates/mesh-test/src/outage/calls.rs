//! Calls by the clock.

use crate::load::connection::{Connection, Target, whole_body};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// A call that takes longer has failed; the gateway's own time for it is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls that may wait to be counted.
const COUNTED: usize = 4096;
/// Connections that are kept between calls.
const IDLE: usize = 256;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) begun: Instant,
    pub(super) took: Duration,
    pub(super) failure: Option<String>,
}

/// Calls one upstream at a steady rate until it is stopped.
pub(super) struct Caller {
    stop: watch::Sender<bool>,
    all: JoinHandle<Vec<Call>>,
}

impl Caller {
    pub(super) fn start(url: &str, rate: u32) -> Result<Self, String> {
        let target = Target::new(url, &[])?
            .with("accept", "application/json, text/event-stream")?
            .with("mcp-protocol-version", "2026-07-28")?
            .with("mcp-method", "tools/call")?
            .with("mcp-name", "echo")?;
        let (stop, stopped) = watch::channel(false);
        let (told, counted) = mpsc::channel(COUNTED);
        tokio::spawn(tick(Arc::new(target), rate, stopped, told));
        Ok(Self { stop, all: tokio::spawn(collect(counted)) })
    }

    /// All calls, those in flight included.
    pub(super) async fn stop(self) -> Result<Vec<Call>, String> {
        self.stop.send_replace(true);
        self.all.await.map_err(|e| e.to_string())
    }
}

async fn tick(target: Arc<Target>, rate: u32, mut stopped: watch::Receiver<bool>, told: mpsc::Sender<Call>) {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut clock = interval(Duration::from_secs(1) / rate.max(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0_u64;
    while !*stopped.borrow() {
        tokio::select! {
            _ = clock.tick() => {}
            _ = stopped.changed() => break,
        }
        number += 1;
        let (target, idle, told) = (Arc::clone(&target), Arc::clone(&idle), told.clone());
        tokio::spawn(async move {
            let call = one(&target, &idle, number).await;
            // Nobody counts any more.
            let _ = told.send(call).await;
        });
    }
}

async fn one(target: &Target, idle: &Mutex<Vec<Connection>>, number: u64) -> Call {
    let begun = Instant::now();
    let kept = idle.lock().await.pop();
    let mut connection = kept.unwrap_or_else(Connection::new);
    let outcome = timeout(PATIENCE, call(target, &mut connection, number)).await;
    let failure = match outcome {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(format!("no answer within {PATIENCE:?}")),
    };
    let took = begun.elapsed();
    if failure.is_none() {
        let mut idle = idle.lock().await;
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
    Call { begun, took, failure }
}

/// The answer has to be this call's.
async fn call(target: &Target, connection: &mut Connection, number: u64) -> Result<(), String> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "echo", "arguments": {"number": number}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).to_string();
    let answer = whole_body(connection.post(target, Bytes::from(body)).await?).await?;
    let text = String::from_utf8_lossy(&answer);
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap_or(&text);
    let message: Value = serde_json::from_str(last).map_err(|e| format!("{e}: {text}"))?;
    if message["result"]["structuredContent"]["number"] == json!(number) {
        Ok(())
    } else {
        Err(message["error"]["message"].as_str().map_or_else(|| text.to_string(), ToOwned::to_owned))
    }
}

async fn collect(mut counted: mpsc::Receiver<Call>) -> Vec<Call> {
    let mut all = Vec::new();
    while let Some(call) = counted.recv().await {
        all.push(call);
    }
    all
}
