//! Measures an A2A or MCP server and checks its answers; see `mesh_test::load`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use mesh_test::load::{A2aCalls, A2aMode, McpCalls, McpRevision, Plan, Taps, Workload, run};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Measures a server with calls in a closed loop, and checks every answer
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Tasks over A2A 1.0 JSON-RPC
    A2a {
        /// How tasks are sent
        #[arg(long, value_enum, default_value = "blocking")]
        mode: A2aMode,
        /// Text of each message
        #[arg(long, default_value = "bench")]
        text: String,
        /// Parts that the artifacts of each task must have; 0 checks only that it completed
        #[arg(long, default_value_t = 10)]
        chunks: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Many clients that follow one task
    Taps(TapsArguments),
    /// Tool calls over MCP's streamable HTTP
    Mcp {
        /// The tool
        #[arg(long, required_unless_present = "list", conflicts_with = "list")]
        tool: Option<String>,
        /// List tools instead
        #[arg(long)]
        list: bool,
        /// Its arguments, a JSON object
        // Named, because clap would take the text for a JSON string.
        #[arg(long, default_value = "{}", value_parser = |text: &str| serde_json::from_str::<serde_json::Value>(text))]
        args: serde_json::Value,
        /// Text that the JSON of every result must contain
        #[arg(long)]
        expect: Option<String>,
        /// Revision of the protocol
        #[arg(long, value_enum, default_value = "2025-11-25")]
        revision: McpRevision,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct TapsArguments {
    /// Address of the host, http:// only; its worker must be `scripted-worker` on this machine
    #[arg(long)]
    url: String,
    /// Clients that follow the task
    #[arg(long, default_value_t = 1000)]
    taps: usize,
    /// How many more follow it, but stop reading after the first event until all others have everything
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Events of the task that are followed; 0 only holds the taps open
    #[arg(long, default_value_t = 200)]
    events: u32,
    /// Milliseconds between two of them
    #[arg(long, default_value_t = 25)]
    pause: u32,
    /// Bytes of the text of each
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Seconds that idle taps are held before memory is measured
    #[arg(long, default_value_t = 1.0)]
    hold: f64,
    /// Seconds after which the run has failed
    #[arg(long, default_value_t = 120.0)]
    timeout: f64,
    /// Measure CPU time and memory of this process and its descendants; several are summed
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// What to print: a row, or JSON
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Args)]
struct Common {
    /// Address of the server, http:// only
    #[arg(long)]
    url: String,
    /// A header to send with each request, `Name: value`
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Connections that send at the same time
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds to run before that
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seconds after which a call has failed
    #[arg(long, default_value_t = 30.0)]
    timeout: f64,
    /// Measure CPU time and peak memory of this process and its descendants; several are summed
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// Threads of this client
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// What to print: a row, or JSON
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    let right = match Arguments::parse().kind {
        Kind::A2a { mode, text, chunks, common } => {
            let (url, headers) = (common.url.clone(), common.headers.clone());
            let chunks = (chunks > 0).then_some(chunks);
            measure(Workload::A2a(A2aCalls { url, headers, mode, text, chunks }), &common)
        }
        Kind::Mcp { tool, list: _, args, expect, revision, common } => {
            let (url, headers) = (common.url.clone(), common.headers.clone());
            measure(
                Workload::Mcp(McpCalls { url, headers, tool, arguments: args, expect, revision }),
                &common,
            )
        }
        Kind::Taps(arguments) => tap(arguments),
    };
    match right {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "load: {error}");
            ExitCode::from(2)
        }
    }
}

fn seconds(n: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(n).map_err(|e| format!("{n} seconds: {e}"))
}

/// Runs on so many threads; never on the main one, which would do the work of all connections of its own.
fn drive<T: Send + 'static>(
    threads: usize,
    run: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async { tokio::spawn(run).await }).map_err(|e| e.to_string())?
}

fn print(report: &(impl Display + Serialize), output: Output) -> Result<(), String> {
    match output {
        Output::Text => writeln!(std::io::stdout(), "{report}"),
        Output::Json => {
            let _ = writeln!(std::io::stderr(), "{report}");
            writeln!(std::io::stdout(), "{}", serde_json::to_string(report).unwrap_or_default())
        }
    }
    .map_err(|e| e.to_string())
}

/// Whether everything was answered rightly.
fn measure(workload: Workload, common: &Common) -> Result<bool, String> {
    let plan = Plan {
        workload,
        connections: common.connections,
        time: seconds(common.seconds)?,
        warmup: seconds(common.warmup)?,
        call_timeout: seconds(common.timeout)?,
        pids: common.pids.clone(),
    };
    let report = drive(common.threads, async move { run(&plan).await })?;
    print(&report, common.output)?;
    Ok(report.errors == 0 && report.calls > 0)
}

fn tap(arguments: TapsArguments) -> Result<bool, String> {
    let TapsArguments { url, taps, stalled, events, pause, bytes, hold, timeout, pids, output } = arguments;
    let plan = Taps {
        url,
        taps,
        stalled,
        events,
        pause: Duration::from_millis(pause.into()),
        bytes,
        hold: seconds(hold)?,
        timeout: seconds(timeout)?,
        pids,
    };
    let report = drive(1, plan.run())?;
    print(&report, output)?;
    Ok(report.errors == 0)
}
