//! `agentmesh doctor`.

use crate::cli::DoctorArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer, one_line};
use crate::run::jetstream_options;
use crate::store::{self, Place};
use mesh_config::Mesh;
use mesh_core::AgentName;
use mesh_log::{
    EventLog as _, Examination, Finding, JetStreamLog, JetStreamOptions, Severity, StoreFacts, StoreFile,
};
use serde_json::json;
use std::time::Duration;

/// Bytes of a disk below which it is time to make room, whatever the store's size.
const LITTLE_ROOM: u64 = 1 << 30;

/// How long the servers may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) async fn run(args: DoctorArgs, printer: &Printer) -> Outcome {
    match Place::of(&args.store)? {
        Place::File(file) => of_file(file, printer).await,
        Place::Nats(mesh) => of_stream(&mesh, printer).await,
    }
}

/// A stream is asked what can be asked of it in reasonable time: its settings, and the tasks that somebody waits for.
async fn of_stream(mesh: &Mesh, printer: &Printer) -> Outcome {
    let options = JetStreamOptions { create: false, open_timeout: PATIENCE, ..jetstream_options(mesh) };
    let log = JetStreamLog::open(options).await.map_err(|error| {
        Failure::unreachable(error.to_string()).hint("nothing was made; `agentmesh up` makes the stream")
    })?;
    let agents: Vec<AgentName> = mesh.agents.keys().map(|name| AgentName::from(name.as_str())).collect();
    let mut tell = |tasks| printer.progress(&format!("checking unfinished tasks: {tasks}"));
    let found = log.examine(&agents, mesh.storage.replicas, &mut tell).await;
    printer.progress("");
    log.close().await;
    let found = found.map_err(|error| Failure::unreachable(error.to_string()))?;
    let (stream, sound) = (format!("{}-log", mesh.mesh), found.is_sound());
    if printer.is_json() {
        let StoreFacts { unfinished, events, .. } = found.facts;
        printer.document(&json!({
            "stream": stream,
            "sound": sound,
            "findings": found.findings,
            "omitted": found.omitted,
            "checked": { "unfinishedTasks": unfinished, "events": events },
        }))?;
    } else {
        report(&found, printer)?;
        printer.line(&format!("stream {stream}: {}", verdict(sound, printer)))?;
        printer.line(&format!(
            "  read     {} unfinished tasks, {} events",
            found.facts.unfinished, found.facts.events
        ))?;
        printer.note("not checked: tasks that have ended, and records; NATS checks its own files");
    }
    Ok(if sound { ExitStatus::Ok } else { ExitStatus::Failed })
}

fn verdict(sound: bool, printer: &Printer) -> String {
    if sound { printer.ink(Ink::Green, "sound") } else { printer.ink(Ink::Red, "not sound") }
}

async fn of_file(file: StoreFile, printer: &Printer) -> Outcome {
    let path = file.path().to_owned();
    if !path.exists() {
        return Err(Failure::not_found(format!("there is no store at {}", path.display())));
    }
    let mut found = store::work(printer, "reading", None, move |with| file.examine(with)).await?;
    let room = store::free(&path);
    found.findings.extend(room.and_then(|room| little_room(room, found.facts.file_bytes)));
    let sound = found.is_sound();
    if printer.is_json() {
        printer.document(&json!({
            "store": path,
            "sound": sound,
            "findings": found.findings,
            "omitted": found.omitted,
            "facts": found.facts,
            "diskFreeBytes": room,
        }))?;
    } else {
        report(&found, printer)?;
        summarize(&path.display().to_string(), &found, room, printer)?;
    }
    Ok(if sound { ExitStatus::Ok } else { ExitStatus::Failed })
}

/// A copy of the store, as a restore makes one, should fit beside it.
fn little_room(room: u64, store: u64) -> Option<Finding> {
    (room < LITTLE_ROOM.max(store)).then(|| Finding {
        severity: Severity::Warning,
        kind: "little-room",
        task: None,
        what: format!("{} are left on the disk", store::size(room)),
        advice: "make room before appends are refused; a backup or a restore needs as much as the store has",
    })
}

fn report(found: &Examination, printer: &Printer) -> Outcome<()> {
    for finding in &found.findings {
        let severity = match finding.severity {
            Severity::Error => printer.ink(Ink::Red, "error"),
            Severity::Warning => printer.ink(Ink::Yellow, "warning"),
        };
        let task = finding.task.as_ref().map(|task| format!("task {task}: ")).unwrap_or_default();
        let what = one_line(&format!("{task}{}", finding.what));
        printer.line(&format!("{severity} {}: {what}; {}", finding.kind, finding.advice))?;
    }
    if found.omitted > 0 {
        printer.line(&format!("… and {} more", found.omitted))?;
    }
    Ok(())
}

fn summarize(store: &str, found: &Examination, room: Option<u64>, printer: &Printer) -> Outcome<()> {
    let facts = &found.facts;
    printer.line(&format!("{store}: {}", verdict(found.is_sound(), printer)))?;
    let size = store::size;
    // Otherwise it could not be looked into.
    if facts.format > 0 {
        printer.line(&format!("  format   {}", facts.format))?;
        printer.line(&format!("  tasks    {}, {} of them unfinished", facts.tasks, facts.unfinished))?;
        printer.line(&format!("  events   {}, {} of them large", facts.events, facts.large_events))?;
        printer.line(&format!("  records  {}", facts.records))?;
    }
    let (file, free, log) = (size(facts.file_bytes), size(facts.free_bytes), size(facts.wal_bytes));
    printer.line(&format!("  size     {file}, {free} of it free; write-ahead log {log}"))?;
    if let Some(room) = room {
        printer.line(&format!("  disk     {} left", size(room)))?;
    }
    Ok(())
}
