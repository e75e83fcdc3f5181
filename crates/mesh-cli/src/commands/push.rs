//! `agentmesh push`.

use crate::cli::PushRetryArgs;
use crate::exit::{ExitStatus, Outcome};
use crate::output::{Printer, clean};
use crate::{directory, http};
use serde_json::json;

/// Runs `push retry`.
pub(crate) async fn retry(args: PushRetryArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let agent = match &args.agent {
        Some(named) => directory::agent(&http, &args.gateway, named).await?,
        None => directory::agent_with_task(&http, &args.gateway, None, &args.task, Some(0)).await?.0,
    };
    let retried = agent.client.retry_push(&args.task, args.config.as_deref()).await?;
    if printer.is_json() {
        printer.document(&json!({ "task": args.task, "retried": retried }))?;
        return Ok(ExitStatus::Ok);
    }
    for id in &retried {
        printer.line(&format!("{}  {}  is tried again", clean(&args.task), clean(id)))?;
    }
    if retried.is_empty() {
        printer.note("nothing of it was given up");
    }
    Ok(ExitStatus::Ok)
}
