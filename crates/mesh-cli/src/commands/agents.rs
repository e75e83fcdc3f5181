//! `agentmesh agents`.

use crate::cli::AgentsArgs;
use crate::directory::Directory;
use crate::exit::{ExitStatus, Outcome};
use crate::http;
use crate::output::{Printer, shorten};
use serde_json::Value;

/// How much of a description a line shows.
const DESCRIPTION: usize = 60;

/// Runs the command.
pub(crate) async fn run(args: AgentsArgs, printer: &Printer) -> Outcome {
    let directory = Directory::read(&http::Client::new()?, &args.gateway).await?;
    if printer.is_json() {
        printer.document(&directory.value)?;
        return Ok(ExitStatus::Ok);
    }
    if directory.entries().is_empty() {
        printer.note("the mesh has no agents");
        return Ok(ExitStatus::Ok);
    }
    let rows: Vec<Vec<String>> = directory.entries().iter().map(row).collect();
    printer.table(&["AGENT", "HEALTH", "LAST SEEN", "SOURCE", "URL", "SKILLS", "DESCRIPTION"], &rows)?;
    Ok(ExitStatus::Ok)
}

fn row(entry: &Value) -> Vec<String> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let skills = entry["skills"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A skill is an object of the card, or just its name.
    let names: Vec<&str> = skills
        .iter()
        .filter_map(|skill| {
            skill.as_str().or_else(|| skill["id"].as_str()).or_else(|| skill["name"].as_str())
        })
        .collect();
    let or_dash =
        |name: &str| Some(text(name)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    vec![
        text("name"),
        or_dash("health"),
        or_dash("lastSeen"),
        or_dash("source"),
        text("url"),
        names.join(","),
        shorten(&text("description"), DESCRIPTION),
    ]
}
