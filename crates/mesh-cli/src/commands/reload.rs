//! `agentmesh reload`.

use crate::cli::ReloadArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::http::{self, Reply};
use crate::output::Printer;
use crate::target;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::time::Duration;

/// How long new upstreams may keep a reload waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command.
pub(crate) async fn run(args: ReloadArgs, printer: &Printer) -> Outcome {
    let admin = target::admin(&args.admin)?;
    let url = format!("{admin}/api/reload");
    let answer =
        http::Client::new()?.post(&url, HeaderMap::new(), &json!({}), PATIENCE).await.map_err(|error| {
            Failure::from(error)
                .hint("start a mesh with `agentmesh up`, or name its admin listener with --admin URL")
        })?;
    let Reply::Json(reloaded) = answer.reply else {
        return Err(Failure::unreachable(format!("{url} does not answer as expected")));
    };
    let good = reloaded["problems"].as_array().is_none_or(Vec::is_empty);
    if printer.is_json() {
        printer.document(&reloaded)?;
    } else {
        show(&reloaded, printer)?;
    }
    Ok(if good { ExitStatus::Ok } else { ExitStatus::Failed })
}

fn show(reloaded: &Value, printer: &Printer) -> Outcome<()> {
    let names = |name: &str| -> Vec<&str> {
        reloaded[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let kept = reloaded["kept"].as_u64().unwrap_or_default();
    for (what, name) in [("added", "added"), ("replaced", "replaced"), ("removed", "removed")] {
        let names = names(name);
        if !names.is_empty() {
            printer.line(&format!("{what:9} {}", names.join(", ")))?;
        }
    }
    printer.line(&match reloaded["outcome"].as_str() {
        Some("changed") => format!("kept      {kept} as they were"),
        Some("failed") => "nothing was taken over".to_owned(),
        _ => format!("nothing changed, {kept} upstreams go on as they were"),
    })?;
    let late = names("unavailable");
    if !late.is_empty() {
        printer.warn(&format!("these do not list their tools yet: {}", late.join(", ")));
    }
    let restart = names("needsRestart");
    if !restart.is_empty() {
        printer.warn(&format!("changed, and taken over only by a restart: {}", restart.join(", ")));
    }
    for problem in reloaded["problems"].as_array().into_iter().flatten() {
        let text = |name: &str| problem[name].as_str().unwrap_or_default();
        printer.note(&format!("{}: {}", text("source"), text("message")));
    }
    Ok(())
}
