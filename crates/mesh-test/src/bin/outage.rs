//! Breaks one of several targets of a gateway in every way; see `mesh_test::outage`.

use clap::Parser;
use mesh_test::document::write_section;
use mesh_test::outage::{Options, run};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HEADING: &str = "One broken target of several behind the gateway";

/// Breaks one target of an upstream in every way under steady calls; fails if more calls fail than were in flight
#[derive(Parser)]
struct Arguments {
    /// Targets of the upstream
    #[arg(long, default_value_t = 3)]
    targets: usize,
    /// Calls a second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds before, during and after each fault
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds that a healed target may take to get calls again
    #[arg(long, default_value_t = 30)]
    recovery: u64,
    /// For the mesh file and the gateway's log
    #[arg(long, value_name = "FOLDER", default_value = "target/outage")]
    directory: PathBuf,
    /// Write the table into this document
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "outage: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise held.
async fn measure(arguments: &Arguments) -> Result<bool, String> {
    let _ = std::fs::remove_dir_all(&arguments.directory);
    std::fs::create_dir_all(&arguments.directory)
        .map_err(|error| format!("{}: {error}", arguments.directory.display()))?;
    let directory = std::path::absolute(&arguments.directory).map_err(|error| error.to_string())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let options = Options {
        program: own.with_file_name("agentmesh"),
        directory,
        targets: arguments.targets,
        rate: arguments.rate,
        phase: Duration::try_from_secs_f64(arguments.seconds).map_err(|error| error.to_string())?,
        recovery: Duration::from_secs(arguments.recovery),
    };
    let report = run(&options).await?;
    let text = report.markdown();
    let _ = write!(std::io::stdout(), "{text}");
    for fault in report.faults.iter().filter(|fault| !fault.failures.is_empty()) {
        let _ = writeln!(std::io::stderr(), "{}: {}", fault.mode, fault.failures.join("; "));
    }
    if let Some(document) = &arguments.report {
        write_section(document, HEADING, &text)
            .map_err(|error| format!("{}: {error}", document.display()))?;
    }
    Ok(report.broken_promises().is_empty())
}
