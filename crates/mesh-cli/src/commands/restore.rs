//! `agentmesh restore`.

use crate::cli::RestoreArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use crate::store;
use mesh_log::StoreFile;
use serde_json::json;

/// Runs the command.
pub(crate) async fn run(args: RestoreArgs, printer: &Printer) -> Outcome {
    let file = store::sqlite(&args.store, |mesh| {
        format!(
            "use NATS's own tool: `nats stream restore DIRECTORY` for {mesh}-log and KV_{mesh}-records (docs/operations.md)"
        )
    })?;
    if !args.backup.is_file() {
        return Err(Failure::not_found(format!("there is no backup at {}", args.backup.display())));
    }
    let (place, partial) = (file.path().to_owned(), StoreFile::partial_of(file.path()));
    let (backup, force) = (StoreFile::at(&args.backup), args.force);
    let restored =
        store::work(printer, "restoring", Some(partial), move |with| file.restore(&backup, force, with));
    let restored = restored.await?;
    let facts = restored.facts;
    if printer.is_json() {
        printer.document(&json!({
            "store": place,
            "tasks": facts.tasks,
            "unfinished": facts.unfinished,
            "events": facts.events,
            "bytes": facts.file_bytes,
            "format": facts.format,
            "kept": restored.kept,
        }))?;
        return Ok(ExitStatus::Ok);
    }
    printer.line(&format!(
        "{}: {} tasks ({} to go on with), {} events, {}",
        place.display(),
        facts.tasks,
        facts.unfinished,
        facts.events,
        store::size(facts.file_bytes)
    ))?;
    if let Some(kept) = &restored.kept {
        printer.note(&format!("the store that was there is {}", kept.display()));
    }
    Ok(ExitStatus::Ok)
}
