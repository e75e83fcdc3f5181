//! Runs the fault test; see `mesh_test::chaos`.

use clap::Parser;
use mesh_test::chaos::{Options, Report, Setup, run};
use mesh_test::document::write_section;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};

/// Kills, freezes and cuts off the parts of a mesh under load, then reads every client's transcript
#[derive(Parser)]
struct Arguments {
    /// What is put under load; both, one after the other, if left out
    #[arg(long, value_enum)]
    setup: Option<Setup>,
    /// Which faults and which tasks; another one each time if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Faults for each set-up
    #[arg(long, default_value_t = 260)]
    faults: usize,
    /// Seconds after which no fault begins, for each set-up
    #[arg(long, default_value_t = 720)]
    seconds: u64,
    /// Mean milliseconds between two faults
    #[arg(long, default_value_t = 1500)]
    pace: u64,
    /// Milliseconds of the hosts' lease
    #[arg(long, default_value_t = 2000)]
    lease: u64,
    /// Messages in work at the same time
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// Seconds that tasks may take to end when everything is well again
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Where logs and stores go
    #[arg(long, default_value = "target/chaos")]
    directory: PathBuf,
    /// The NATS server
    #[arg(long, env = "NATS_SERVER", default_value = ".envs/nats/bin/nats-server")]
    nats: PathBuf,
    /// Write the summary to this document, below what is there before its first heading of a set-up
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Dropping the run kills what it started.
    tokio::select! {
        code = all(&arguments) => code,
        () = stopped() => {
            let _ = writeln!(std::io::stderr(), "chaos: stopped");
            ExitCode::from(130)
        }
    }
}

async fn stopped() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn all(arguments: &Arguments) -> ExitCode {
    let random =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_millis() as u64 % 1_000_000);
    let seed = arguments.seed.unwrap_or_else(random);
    let setups = arguments.setup.map_or_else(|| vec![Setup::Sqlite, Setup::Jetstream], |setup| vec![setup]);
    let (mut reports, mut failed) = (Vec::new(), false);
    for setup in setups {
        match one(arguments, setup, seed).await {
            Ok(report) => {
                failed |= !report.wrong.is_empty();
                reports.push(report);
            }
            Err(why) => {
                failed = true;
                let _ = writeln!(std::io::stderr(), "chaos: {setup}: seed {seed}: {why}");
            }
        }
    }
    if let Some(path) = &arguments.report
        && let Err(error) = write_report(path, &reports)
    {
        let _ = writeln!(std::io::stderr(), "chaos: {}: {error}", path.display());
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn one(arguments: &Arguments, setup: Setup, seed: u64) -> Result<Report, String> {
    let name = if setup == Setup::Sqlite { "sqlite" } else { "jetstream" };
    let directory = arguments.directory.join(format!("{seed}-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let _ = writeln!(std::io::stdout(), "{setup}: seed {seed}, logs in {}", directory.display());
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let nats = std::path::absolute(&arguments.nats).map_err(|error| error.to_string())?;
    let options = Options {
        setup,
        seed,
        faults: arguments.faults,
        time: Duration::from_secs(arguments.seconds),
        pace: Duration::from_millis(arguments.pace),
        lease: Duration::from_millis(arguments.lease),
        clients: arguments.clients,
        patience: Duration::from_secs(arguments.patience),
        programs: own.parent().map(Path::to_owned).unwrap_or_default(),
        nats,
        directory: directory.clone(),
    };
    let report = run(&options).await?;
    let _ = write!(std::io::stdout(), "{report}");
    if report.wrong.is_empty() {
        let _ = std::fs::remove_dir_all(&directory);
    }
    Ok(report)
}

/// Replaces the sections of the set-ups in a document.
fn write_report(path: &Path, reports: &[Report]) -> std::io::Result<()> {
    reports.iter().try_for_each(|report| write_section(path, &report.title(), &report.table()))
}
