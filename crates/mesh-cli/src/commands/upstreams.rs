//! `agentmesh upstreams`.

use crate::cli::UpstreamsArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, one_line, shorten};
use crate::{http, target};
use serde_json::Value;

/// How much of a failure a line shows.
const FAILURE: usize = 60;

/// Runs the command.
pub(crate) async fn run(args: UpstreamsArgs, printer: &Printer) -> Outcome {
    let admin = target::admin(&args.admin)?;
    let found = http::Client::new()?.get_json(&format!("{admin}/api/upstreams")).await.map_err(|error| {
        Failure::from(error)
            .hint("start a mesh with `agentmesh up`, or name its admin listener with --admin URL")
    })?;
    if printer.is_json() {
        printer.document(&found)?;
        return Ok(ExitStatus::Ok);
    }
    let entries = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let upstreams = entries("upstreams");
    if upstreams.is_empty() {
        printer.note("the gateway has no upstreams");
    } else {
        let rows: Vec<_> = upstreams.iter().map(row).collect();
        printer.table(&["UPSTREAM", "STATE", "TOOLS", "FROM", "FAILURE"], &rows)?;
    }
    let toolsets = entries("toolsets");
    if !toolsets.is_empty() {
        let text = |toolset: &Value, name: &str| toolset[name].as_str().unwrap_or_default().to_owned();
        let rows: Vec<_> = toolsets
            .iter()
            .map(|toolset| ["id", "source", "description"].map(|name| text(toolset, name)).to_vec())
            .collect();
        printer.line("")?;
        printer.table(&["TOOLSET", "FROM", "DESCRIPTION"], &rows)?;
    }
    Ok(ExitStatus::Ok)
}

fn row(upstream: &Value) -> Vec<String> {
    let text = |name: &str| upstream[name].as_str().unwrap_or_default().to_owned();
    let state = match (upstream["available"].as_bool(), upstream["tools"].is_null()) {
        (Some(true), _) => "up",
        (_, true) if upstream["failure"].is_null() => "starting",
        _ => "down",
    };
    let tools = upstream["tools"].as_u64().map(|tools| tools.to_string()).unwrap_or_default();
    let failure = shorten(&one_line(&text("failure")), FAILURE);
    vec![text("id"), state.to_owned(), tools, text("source"), failure]
}
