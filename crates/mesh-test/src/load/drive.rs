//! Runs the connections for the time that was asked for.

use super::a2a::{A2aCalls, A2aClient};
use super::connection::Connection;
use super::mcp::{McpCalls, McpClient};
use super::process::Usage;
use super::report::Report;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What is to be sent.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Tasks.
    A2a(A2aCalls),
    /// Tool calls.
    Mcp(McpCalls),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is sent.
    pub workload: Workload,
    /// Connections that send at the same time.
    pub connections: usize,
    /// How long it is measured.
    pub time: Duration,
    /// How long it runs before that.
    pub warmup: Duration,
    /// A call that takes longer is an error.
    pub call_timeout: Duration,
    /// Processes whose CPU time and memory are measured together, with their descendants.
    pub pids: Vec<u32>,
}

/// One call that was answered rightly.
pub(super) struct Sample {
    pub(super) latency: Duration,
    pub(super) first_event: Option<Duration>,
    pub(super) events: u64,
}

/// What one connection saw in the measured time.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) latencies: Vec<Duration>,
    pub(super) first_events: Vec<Duration>,
    pub(super) events: u64,
    pub(super) errors: u64,
    /// The first few.
    pub(super) error_texts: Vec<String>,
}

enum Client {
    A2a(A2aClient),
    Mcp(McpClient),
}

#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
    call_timeout: Duration,
}

/// Runs a plan.
///
/// # Errors
/// The plan cannot be begun: a bad address, a process that is not there. What goes wrong later is in the report.
pub async fn run(plan: &Plan) -> Result<Report, String> {
    let client = Arc::new(match &plan.workload {
        Workload::A2a(calls) => Client::A2a(A2aClient::new(calls)?),
        Workload::Mcp(calls) => Client::Mcp(McpClient::new(calls)?),
    });
    let begin = Instant::now() + plan.warmup;
    let window = Window { begin, end: begin + plan.time, call_timeout: plan.call_timeout };
    let mut connections = JoinSet::new();
    for _ in 0..plan.connections.max(1) {
        let client = Arc::clone(&client);
        connections.spawn(async move { connection(&client, window).await });
    }
    sleep_until(window.begin).await;
    let before = Usage::begin(&plan.pids).map_err(|e| e.to_string())?;
    sleep_until(window.end).await;
    let usage = before.until_now().map_err(|e| e.to_string())?;
    let usage = (!plan.pids.is_empty()).then_some(usage);
    let all = connections.join_all().await;
    Ok(Report::new(plan, all, usage))
}

async fn connection(client: &Client, window: Window) -> Samples {
    let mut samples = Samples::default();
    while Instant::now() < window.end {
        let mut connection = Connection::new();
        let failure = match client {
            Client::A2a(client) => loop {
                let call = client.call(&mut connection);
                if let Err(stop) = samples.take(call, window).await {
                    break stop;
                }
            },
            Client::Mcp(client) => match client.session(&mut connection).await {
                Err(error) => Some(error),
                Ok(session) => loop {
                    let call = session.call(&mut connection);
                    if let Err(stop) = samples.take(call, window).await {
                        break stop;
                    }
                },
            },
        };
        if let Some(error) = failure {
            samples.error(error);
            sleep(Duration::from_millis(20)).await;
        }
    }
    samples
}

impl Samples {
    /// Waits for a call and counts it if it ended in the window. `Err` ends the connection: the time is over, or the
    /// call failed.
    async fn take(
        &mut self,
        call: impl Future<Output = Result<Sample, String>>,
        window: Window,
    ) -> Result<(), Option<String>> {
        let sample = match timeout(window.call_timeout, call).await {
            Ok(Ok(sample)) => sample,
            Ok(Err(error)) => return Err(Some(error)),
            Err(_) => return Err(Some(format!("no answer within {:?}", window.call_timeout))),
        };
        let now = Instant::now();
        if now > window.end {
            return Err(None);
        }
        if now >= window.begin {
            self.latencies.push(sample.latency);
            self.first_events.extend(sample.first_event);
            self.events += sample.events;
        }
        Ok(())
    }

    fn error(&mut self, text: String) {
        self.errors += 1;
        if self.error_texts.len() < 3 {
            self.error_texts.push(text);
        }
    }
}
