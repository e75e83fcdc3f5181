//! `agentmesh check`.

use crate::cli::CheckArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use mesh_config::{LoadOptions, Report};
use serde_json::json;

/// Runs the command.
pub(crate) fn run(args: &CheckArgs, printer: &Printer) -> Outcome {
    let report = report(args);
    let errors = report.errors();
    if printer.is_json() {
        printer.document(&json!({
            "file": args.file,
            "valid": errors == 0,
            "diagnostics": report.diagnostics,
            "omitted": report.omitted,
        }))?;
    } else {
        if !report.is_empty() {
            printer.note(&report.to_string());
        }
        if errors == 0 {
            printer.line(&format!("{} is valid", args.file.display()))?;
        }
    }
    if errors == 0 { Ok(ExitStatus::Ok) } else { Err(Failure::silent(ExitStatus::InvalidConfig)) }
}

/// Errors, or else warnings.
fn report(args: &CheckArgs) -> Report {
    let env = |name: &str| std::env::var(name).ok();
    let options = LoadOptions::new(&env).insecure(args.insecure);
    // Loading says why a file cannot be read, and bounds its size; checking adds the warnings.
    match mesh_config::load(&args.file, &options) {
        Err(report) => report,
        Ok(_) => {
            let text = std::fs::read_to_string(&args.file).unwrap_or_default();
            mesh_config::check(&text, &args.file.to_string_lossy(), &options).report
        }
    }
}
