//! `agentmesh backup`.

use crate::cli::BackupArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use crate::store;
use mesh_log::StoreFile;
use serde_json::json;
use std::time::Instant;

/// Runs the command.
pub(crate) async fn run(args: BackupArgs, printer: &Printer) -> Outcome {
    let begin = Instant::now();
    let file = store::sqlite(&args.store, |mesh| {
        format!(
            "use NATS's own tool: `nats stream backup {mesh}-log DIRECTORY` for the tasks, and \
             `nats stream backup KV_{mesh}-records DIRECTORY` for the records (docs/operations.md)"
        )
    })?;
    if !file.path().exists() {
        return Err(Failure::not_found(format!("there is no store at {}", file.path().display())));
    }
    if args.target.is_dir() {
        return Err(Failure::usage(format!("{} is a directory; name a file", args.target.display())));
    }
    if args.target.exists() && !args.force {
        let failure = Failure::usage(format!("{} is there already", args.target.display()));
        return Err(failure.hint("name another file, or say --force to replace it"));
    }
    let partial = StoreFile::partial_of(&args.target);
    let (target, force) = (args.target.clone(), args.force);
    let backup =
        store::work(printer, "copying", Some(partial), move |with| file.backup(&target, force, with));
    let facts = backup.await?.facts;
    let took = begin.elapsed();
    if printer.is_json() {
        printer.document(&json!({
            "backup": args.target,
            "tasks": facts.tasks,
            "events": facts.events,
            "records": facts.records,
            "bytes": facts.file_bytes,
            "format": facts.format,
            "seconds": took.as_secs_f64(),
        }))?;
    } else {
        printer.line(&format!(
            "{}: {} tasks, {} events, {}, in {:.1} s",
            args.target.display(),
            facts.tasks,
            facts.events,
            store::size(facts.file_bytes),
            took.as_secs_f64()
        ))?;
    }
    Ok(ExitStatus::Ok)
}
