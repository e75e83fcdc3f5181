//! Tools as the gateway's `GET /tools` finds them: by category, and by what they are needed for.

use super::DESCRIPTION;
use crate::cli::ToolsArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, one_line, shorten};
use crate::{http, target};
use reqwest::{StatusCode, Url};
use serde_json::Value;

/// Runs the command.
pub(super) async fn run(args: &ToolsArgs, printer: &Printer) -> Outcome {
    let gateway = target::gateway(&args.mcp.gateway)?;
    let given = [("category", &args.category), ("query", &args.query)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let url = Url::parse_with_params(&format!("{gateway}/tools"), given)
        .map_err(|error| Failure::usage(format!("`{gateway}` is not a URL: {error}")))?;
    let found = http::Client::new()?.get_json(url.as_str()).await.map_err(|error| match &error {
        http::Error::Status { status: StatusCode::NOT_FOUND, .. } => Failure::from(error)
            .hint("this gateway does not find tools by category and query; --search ranks them here"),
        _ => {
            let advice = target::advice(&args.mcp.gateway, "or name its gateway with --gateway URL");
            Failure::from(error).hint(advice)
        }
    })?;
    let tools = found["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if printer.is_json() {
        printer.document(&found)?;
    } else if tools.is_empty() {
        printer.note("no tool has to do with that");
    } else {
        let rows: Vec<_> = tools.iter().map(row).collect();
        printer.table(&["TOOL", "CATEGORY", "SCORE", "DESCRIPTION"], &rows)?;
    }
    Ok(ExitStatus::Ok)
}

fn row(tool: &Value) -> Vec<String> {
    let text = |name: &str| tool[name].as_str().unwrap_or_default();
    let score = tool["score"].as_f64().map(|score| format!("{score:.2}")).unwrap_or_default();
    let description = shorten(&one_line(text("description")), DESCRIPTION);
    vec![text("name").to_owned(), text("category").to_owned(), score, description]
}
