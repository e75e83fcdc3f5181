//! `agentmesh worker check`: does a worker keep to docs/worker-protocol.md?

mod memory;
mod steps;
mod worker;

use crate::attach;
use crate::cli::WorkerCheckArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer, clean};
use serde::Serialize;
use serde_json::{Value, json};
use worker::Worker;

/// The version of the worker protocol.
pub(crate) const PROTOCOL: u64 = 1;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Pass,
    /// Not so.
    Fail,
    /// Could not be told.
    Skip,
}

/// One rule of the protocol, checked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    verdict: Verdict,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: WorkerCheckArgs, printer: &Printer) -> Outcome {
    let extra = match &args.config {
        None => json!({}),
        Some(path) => match serde_json::from_str(&attach::text(path).await?) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => return Err(Failure::usage(format!("{} is not a JSON object", path.display()))),
            Err(error) => return Err(Failure::usage(format!("{} is not JSON: {error}", path.display()))),
        },
    };
    let worker = Worker::start(&args.command)
        .map_err(|error| Failure::usage(format!("cannot start `{}`: {error}", args.command[0])))?;
    let stderr = worker.stderr();
    let mut checks = Vec::new();
    Box::pin(steps::run(worker, &args, extra, |check| {
        if !printer.is_json() {
            printer.line(&line(printer, &check))?;
        }
        checks.push(check);
        Ok(())
    }))
    .await?;
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (passed, failed, skipped) = (count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Skip));
    if printer.is_json() {
        printer.document(&json!({ "command": args.command, "conforms": failed == 0, "checks": checks }))?;
    } else {
        let skips = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        printer.line(&format!("{passed} passed, {failed} failed{skips}"))?;
    }
    if failed == 0 {
        return Ok(ExitStatus::Ok);
    }
    for text in stderr.last_lines() {
        printer.note(&format!("{} {}", printer.err_ink(Ink::Dim, "stderr:"), clean(&text)));
    }
    Err(Failure::silent(ExitStatus::Failed))
}

fn line(printer: &Printer, check: &Check) -> String {
    let verdict = match check.verdict {
        Verdict::Pass => printer.ink(Ink::Green, "pass"),
        Verdict::Fail => printer.ink(Ink::Red, "FAIL"),
        Verdict::Skip => printer.ink(Ink::Yellow, "skip"),
    };
    let reason = check.reason.as_ref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    format!("{verdict}  {}{reason}", check.name)
}
