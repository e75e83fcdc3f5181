//! `agentmesh tools`.

mod discovered;

use crate::cli::ToolsArgs;
use crate::exit::{ExitStatus, Outcome};
use crate::mcp;
use crate::output::{Printer, one_line, shorten};
use serde_json::{Value, json};

/// How much of a description a line shows.
const DESCRIPTION: usize = 70;

/// Runs the command.
pub(crate) async fn run(args: ToolsArgs, printer: &Printer) -> Outcome {
    if args.category.is_some() || args.query.is_some() {
        return discovered::run(&args, printer).await;
    }
    let client = mcp::connect(&args.mcp).await?;
    let listed = client.tools().await;
    client.close().await;
    let mcp::ToolList { mut tools, unavailable } = listed?;
    if !unavailable.is_empty() {
        printer.warn(&format!(
            "these tool servers do not answer, so tools may be missing: {}",
            unavailable.join(", ")
        ));
    }
    if let Some(words) = &args.search {
        tools = mcp::ranked(tools, words);
    }
    if printer.is_json() {
        printer.document(&json!({ "tools": tools }))?;
    } else if tools.is_empty() {
        printer.note(if args.search.is_some() {
            "no tool has to do with that"
        } else {
            "there are no tools"
        });
    } else {
        let rows: Vec<Vec<String>> = tools.iter().map(row).collect();
        printer.table(&["TOOL", "ARGUMENTS", "DESCRIPTION"], &rows)?;
    }
    Ok(ExitStatus::Ok)
}

fn row(tool: &Value) -> Vec<String> {
    let required: Vec<&Value> = tool["inputSchema"]["required"].as_array().into_iter().flatten().collect();
    let arguments: Vec<String> = tool["inputSchema"]["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| {
            let optional = !required.iter().any(|other| other.as_str() == Some(name));
            if optional { format!("[{name}]") } else { name.clone() }
        })
        .collect();
    let description =
        one_line(tool["description"].as_str().or_else(|| tool["title"].as_str()).unwrap_or_default());
    vec![
        tool["name"].as_str().unwrap_or("?").to_owned(),
        arguments.join(" "),
        shorten(&description, DESCRIPTION),
    ]
}
