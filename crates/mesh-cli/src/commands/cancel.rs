//! `agentmesh cancel`.

use crate::a2a::view;
use crate::cli::CancelArgs;
use crate::exit::{ExitStatus, Outcome};
use crate::output::{Printer, clean};
use crate::{directory, http};

/// Runs the command.
pub(crate) async fn run(args: CancelArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let agent = match &args.agent {
        Some(named) => directory::agent(&http, &args.gateway, named).await?,
        None => directory::agent_with_task(&http, &args.gateway, None, &args.id, Some(0)).await?.0,
    };
    let task = agent.client.cancel(&args.id).await?;
    if printer.is_json() {
        printer.document(&task)?;
    } else {
        printer.line(&format!("{}  {}", clean(&args.id), clean(view::state_name(&task))))?;
    }
    Ok(ExitStatus::Ok)
}
