//! `agentmesh task`.

use crate::cli::TaskArgs;
use crate::exit::{ExitStatus, Outcome};
use crate::output::Printer;
use crate::{directory, http, render};

/// Runs the command.
pub(crate) async fn run(args: TaskArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let (agent, task) =
        directory::agent_with_task(&http, &args.gateway, args.agent.as_deref(), &args.id, Some(args.history))
            .await?;
    if printer.is_json() {
        printer.document(&task)?;
    } else {
        render::task(printer, &agent.name, &task)?;
    }
    Ok(ExitStatus::Ok)
}
