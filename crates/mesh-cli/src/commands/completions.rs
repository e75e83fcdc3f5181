//! `agentmesh completions`.

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::{ExitStatus, Outcome};
use crate::output::Printer;
use clap::CommandFactory as _;

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs, printer: &Printer) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "agentmesh", &mut script);
    printer.piece(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Ok)
}
