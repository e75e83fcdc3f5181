//! Many clients that follow one task, some of which stop reading.

use super::connection::{Connection, Target, whole_body};
use super::process::{Usage, resident_bytes};
use super::report::Percentiles;
use super::tap::Tap;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Connections that are opened at the same time: fewer than a listener's backlog.
const OPENED_AT_ONCE: usize = 64;

/// A run: one task of a `scripted-worker`, and those who follow it.
#[derive(Clone, Debug)]
pub struct Taps {
    /// The JSON-RPC address of the host.
    pub url: String,
    /// Clients that read what comes.
    pub taps: usize,
    /// Clients that stop reading after the first event, until all others have everything.
    pub stalled: usize,
    /// Events that the worker writes; with 0, taps are only held.
    pub events: u32,
    /// Time between them.
    pub pause: Duration,
    /// The length of each one's text.
    pub bytes: usize,
    /// How long all taps are held without an event.
    pub hold: Duration,
    /// Longest time of the whole run.
    pub timeout: Duration,
    /// Processes whose CPU time and memory are measured together, with their descendants.
    pub pids: Vec<u32>,
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct TapsReport {
    /// Clients that read.
    pub taps: usize,
    /// Clients that stopped reading.
    pub stalled: usize,
    /// Events that each of them was sent, beside the first and the last ones.
    pub events: u32,
    /// How long it took to open all.
    pub open_seconds: f64,
    /// From the worker's writing of an event to its arrival at one of those who read.
    pub delay_ms: Percentiles,
    /// How many arrivals these are.
    pub arrivals: usize,
    /// Resident memory before the taps.
    pub rss_before_bytes: u64,
    /// With all taps open and nothing happening.
    pub rss_idle_bytes: u64,
    /// After the last event, with all taps still open if there are stalled ones.
    pub rss_after_bytes: u64,
    /// Its peak while events came.
    pub rss_peak_bytes: u64,
    /// What the idle taps added, for each.
    pub bytes_per_tap: f64,
    /// What taps and events added at the peak, for each tap.
    pub peak_bytes_per_tap: f64,
    /// CPU seconds while events came.
    pub cpu_seconds: f64,
    /// Clients to which not everything came, in its order.
    pub errors: u64,
    /// A few of their reasons.
    pub error_texts: Vec<String>,
}

/// A file for which the task waits.
struct Gate(PathBuf);

impl Gate {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("taps-{}", uuid::Uuid::now_v7().simple())))
    }

    fn open(&self) -> Result<(), String> {
        std::fs::write(&self.0, "").map_err(|e| format!("{}: {e}", self.0.display()))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What all taps have in common.
#[derive(Clone, Debug)]
struct Way {
    address: SocketAddr,
    request: Bytes,
    events: u64,
    /// Those who have stopped reading go on.
    resume: watch::Receiver<bool>,
}

impl Taps {
    /// Runs it.
    ///
    /// # Errors
    /// It cannot be begun, takes longer than its time, or taps cannot be opened. Taps that miss something are in the
    /// report.
    pub async fn run(self) -> Result<TapsReport, String> {
        let longest = self.timeout;
        timeout(longest, self.measure()).await.map_err(|_| format!("not finished within {longest:?}"))?
    }

    async fn measure(self) -> Result<TapsReport, String> {
        let gate = Gate::new();
        let task = self.start(&gate).await?;
        // The first tap makes what all have in common.
        let (resume, resumed) = watch::channel(false);
        let way = self.way(&task, resumed).await?;
        drop(Tap::open(way.address, &way.request, false).await?);
        sleep(Duration::from_millis(200)).await;
        let rss_before_bytes = resident_bytes(&self.pids);
        let begun = Instant::now();
        let (reading, stalled) = self.open(&way).await?;
        let open_seconds = begun.elapsed().as_secs_f64();
        sleep(self.hold).await;
        let rss_idle_bytes = resident_bytes(&self.pids);
        let used = Usage::begin(&self.pids).map_err(|e| e.to_string())?;
        gate.open()?;
        let all = finish(reading).await;
        let used = used.until_now().map_err(|e| e.to_string())?;
        let rss_after_bytes = resident_bytes(&self.pids);
        let _ = resume.send(true);
        let late = finish(stalled).await;
        let count = (self.taps + self.stalled).max(1) as f64;
        let more = |bytes: u64| bytes.saturating_sub(rss_before_bytes) as f64 / count;
        let errors = all.errors.iter().chain(&late.errors);
        Ok(TapsReport {
            taps: self.taps,
            stalled: self.stalled,
            events: self.events,
            open_seconds,
            arrivals: all.delays.len(),
            rss_before_bytes,
            rss_idle_bytes,
            rss_after_bytes,
            rss_peak_bytes: used.rss_peak_bytes,
            bytes_per_tap: more(rss_idle_bytes),
            peak_bytes_per_tap: more(used.rss_peak_bytes),
            cpu_seconds: used.cpu.as_secs_f64(),
            errors: errors.clone().count() as u64,
            error_texts: errors.take(5).cloned().collect(),
            delay_ms: Percentiles::of(all.delays),
        })
    }

    /// Sends the task and returns its id.
    async fn start(&self, gate: &Gate) -> Result<Value, String> {
        let Self { events, bytes, .. } = self;
        let pause = self.pause.as_millis();
        let text = format!("wait-file {} && stamp {events} {pause} {bytes}", gate.0.display());
        let message =
            json!({"messageId": uuid::Uuid::now_v7(), "role": "ROLE_USER", "parts": [{"text": text}]});
        let params = json!({"message": message, "configuration": {"returnImmediately": true}});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params});
        let target = Target::new(&self.url, &[])?.with("a2a-version", "1.0")?;
        let answer = Connection::new().post(&target, request.to_string().into()).await?;
        let answer = whole_body(answer).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
        match &answer["result"]["task"]["id"] {
            Value::Null => Err(answer.to_string()),
            id => Ok(id.clone()),
        }
    }

    async fn way(&self, task: &Value, resume: watch::Receiver<bool>) -> Result<Way, String> {
        let target = Target::new(&self.url, &[])?;
        let mut addresses =
            tokio::net::lookup_host(target.authority()).await.map_err(|e| format!("{}: {e}", self.url))?;
        let address = addresses.next().ok_or_else(|| format!("{}: no address", self.url))?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task}})
            .to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\na2a-version: 1.0\r\ncontent-type: application/json\r\n\
             accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            target.path(),
            target.authority(),
            body.len()
        );
        Ok(Way { address, request: request.into(), events: self.events.into(), resume })
    }

    /// Opens all taps, those that read and those that do not in between each other.
    async fn open(&self, way: &Way) -> Result<(Following, Following), String> {
        let every = (self.taps / self.stalled.max(1)).max(1);
        let readers = (0..self.taps).map(|n| (n, false));
        let stalled = (0..self.stalled).map(|n| (n * every, true));
        let mut order: Vec<_> = readers.chain(stalled).collect();
        order.sort_unstable();
        let mut opening = stream::iter(order)
            .map(|(_, slow)| async move { (Tap::open(way.address, &way.request, slow).await, slow) })
            .buffer_unordered(OPENED_AT_ONCE);
        let (mut following, mut stalled) = (JoinSet::new(), JoinSet::new());
        while let Some((tap, slow)) = opening.next().await {
            let tap = tap.map_err(|e| format!("tap {}: {e}", following.len() + stalled.len() + 1))?;
            let set = if slow { &mut stalled } else { &mut following };
            set.spawn(follow(tap, way.clone(), slow));
        }
        Ok((following, stalled))
    }
}

type Following = JoinSet<Result<Vec<Duration>, String>>;

async fn follow(mut tap: Tap, mut way: Way, stalled: bool) -> Result<Vec<Duration>, String> {
    if stalled {
        way.resume.wait_for(|resume| *resume).await.map_err(|e| e.to_string())?;
    }
    tap.follow(way.events).await?;
    Ok(tap.delays)
}

#[derive(Default)]
struct Arrivals {
    delays: Vec<Duration>,
    errors: Vec<String>,
}

async fn finish(mut following: Following) -> Arrivals {
    let mut all = Arrivals::default();
    while let Some(done) = following.join_next().await {
        match done.map_err(|e| e.to_string()).and_then(|done| done) {
            Ok(delays) => all.delays.extend(delays),
            Err(error) => all.errors.push(error),
        }
    }
    all
}

impl fmt::Display for TapsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99, max, .. } = self.delay_ms;
        write!(f, "taps         {:>5} and {} stalled, {} events", self.taps, self.stalled, self.events)?;
        write!(f, "  delay p50 {p50:.2} p99 {p99:.2} max {max:.2} ms")?;
        let kibibytes = |bytes: f64| bytes / 1024.0;
        write!(f, "  {:.1} KiB per idle tap", kibibytes(self.bytes_per_tap))?;
        write!(f, ", {:.1} at the peak", kibibytes(self.peak_bytes_per_tap))?;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(f, "  {:.1} MiB idle", mebibytes(self.rss_idle_bytes))?;
        write!(f, ", peak {:.1}", mebibytes(self.rss_peak_bytes))?;
        write!(f, "  {:.2} CPU s, opened in {:.2} s", self.cpu_seconds, self.open_seconds)?;
        write!(f, "  {} errors", self.errors)?;
        self.error_texts.iter().try_for_each(|text| write!(f, "\n  error: {text}"))
    }
}
