//! `agentmesh call`.

use crate::cli::CallArgs;
use crate::directory::nearest;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, clean};
use crate::{attach, mcp};
use serde_json::{Value, json};

/// Runs the command.
pub(crate) async fn run(args: CallArgs, printer: &Printer) -> Outcome {
    // What is wrong without asking anybody is said before anybody is asked.
    let whole = match (&args.file, args.arguments.as_slice()) {
        (Some(file), _) => Some(mcp::from_json(&attach::text(file).await?)?),
        (None, [one]) if one.trim_start().starts_with(['{', '[']) => Some(mcp::from_json(one)?),
        (None, _) => None,
    };
    let client = mcp::connect(&args.mcp).await?;
    let result = call(&args, whole, &client).await;
    client.close().await;
    let result = result?;
    if printer.is_json() {
        printer.document(&result)?;
    } else {
        show(printer, &result)?;
    }
    if result["resultType"] == "input_required" {
        return Err(Failure::new(
            ExitStatus::InputRequired,
            "the tool asks for input, which `call` cannot give",
        ));
    }
    if result["isError"] == true {
        return Err(Failure::failed(format!("the tool {} reports an error", args.tool)));
    }
    Ok(ExitStatus::Ok)
}

async fn call(args: &CallArgs, whole: Option<Value>, client: &mcp::Client) -> Outcome<Value> {
    let tools = client.tools().await?.tools;
    let Some(tool) = tools.iter().find(|tool| tool["name"].as_str() == Some(&args.tool)) else {
        let failure = Failure::not_found(format!("no tool `{}`", args.tool));
        let names = tools.iter().filter_map(|tool| tool["name"].as_str());
        return Err(match nearest(&args.tool, names) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("`agentmesh tools` lists them"),
        });
    };
    let arguments = match whole {
        Some(arguments) => arguments,
        None => mcp::from_pairs(&args.arguments, &tool["inputSchema"])?,
    };
    client.call(&args.tool, &arguments, args.timeout).await
}

fn show(printer: &Printer, result: &Value) -> Outcome<()> {
    let content = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    for block in content {
        printer.line(clean(&block_for_people(block)).trim_end_matches('\n'))?;
    }
    match result.get("structuredContent") {
        Some(structured) if content.is_empty() => printer.document(structured),
        _ => Ok(()),
    }
}

fn block_for_people(block: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    match block["type"].as_str() {
        Some("text") => text(&block["text"]),
        Some(kind @ ("image" | "audio")) => {
            let bytes = block["data"].as_str().unwrap_or_default().trim_end_matches('=').len() * 3 / 4;
            format!("[{kind} {} {bytes} bytes]", text(&block["mimeType"]))
        }
        Some("resource_link") => format!("[resource {}]", text(&block["uri"])),
        Some("resource") => match block["resource"]["text"].as_str() {
            Some(content) => content.to_owned(),
            None => format!("[resource {}]", text(&block["resource"]["uri"])),
        },
        _ => json!(block).to_string(),
    }
}
