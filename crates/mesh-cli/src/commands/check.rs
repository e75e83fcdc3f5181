//! `agentmesh check`.

use crate::cli::CheckArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use mesh_config::{LoadOptions, Mesh, Report};
use serde_json::json;
use std::path::Path;

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
        Ok(mesh) => {
            let text = std::fs::read_to_string(&args.file).unwrap_or_default();
            let mut report = mesh_config::check(&text, &args.file.to_string_lossy(), &options).report;
            if let Some(folder) = &mesh.gateway.watch {
                watched(&mesh, folder, args, &options, &mut report);
            }
            report
        }
    }
}

/// What is wrong with the files of the watched directory. One that is not there yet is none.
fn watched(mesh: &Mesh, folder: &Path, args: &CheckArgs, options: &LoadOptions<'_>, report: &mut Report) {
    let place = args.file.display().to_string();
    let ids = mesh.tools.keys().chain(mesh.toolsets.keys());
    let taken = ids.map(|id| (id.clone(), place.clone())).collect();
    for (_, fragment) in mesh_config::load_folder(folder, &taken, options).unwrap_or_default() {
        if let Err(found) = fragment {
            report.omitted += found.omitted;
            report.diagnostics.extend(found.diagnostics);
        }
    }
}
