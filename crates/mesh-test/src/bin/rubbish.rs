//! Sends malformed requests and judges the answers; see `mesh_test::rubbish`.

use clap::Parser;
use mesh_test::load::resident_bytes;
use mesh_test::rubbish::{Kind, Site, run};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Sends malformed requests by seed; fails if any answer is not what it has to be
#[derive(Parser)]
struct Arguments {
    /// Address of the endpoint, http:// only
    #[arg(long)]
    url: String,
    /// What it serves
    #[arg(long, value_enum)]
    kind: Kind,
    /// How many requests
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Which requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A tool that exists, for MCP
    #[arg(long, default_value = "echo")]
    tool: String,
    /// A header of every request, `Name: value`
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 10)]
    patience: u64,
    /// Show the resident memory of this process and its descendants before and after
    #[arg(long)]
    pid: Option<u32>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some((authority, path)) = split_url(&arguments.url) else {
        let _ = writeln!(std::io::stderr(), "rubbish: {}: http://HOST:PORT/PATH is expected", arguments.url);
        return ExitCode::from(2);
    };
    let Arguments { kind, tool, headers, seed, count, .. } = arguments;
    let site = Site { kind, authority, path, tool, headers };
    let before = arguments.pid.map(|pid| resident_bytes(&[pid]));
    let report = run(site, seed, count, Duration::from_secs(arguments.patience)).await;
    let after = arguments.pid.map(|pid| resident_bytes(&[pid]));
    let mut out = std::io::stdout();
    let _ = if arguments.json {
        let report =
            serde_json::json!({"seed": seed, "report": report, "rss_before": before, "rss_after": after});
        writeln!(out, "{report}")
    } else {
        let _ = writeln!(out, "seed {seed}: {report}");
        match (before, after) {
            (Some(before), Some(after)) => {
                writeln!(out, "resident memory: {} KiB before, {} KiB after", before >> 10, after >> 10)
            }
            _ => Ok(()),
        }
    };
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn split_url(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    (!authority.starts_with(':')).then_some((authority, if path.is_empty() { "/".to_owned() } else { path }))
}
