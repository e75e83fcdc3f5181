//! `agentmesh card`: what an agent says about itself, and whether that can be trusted.

mod keygen;
mod show;
mod verify;

use crate::cli::CardCommand;
use crate::exit::Outcome;
use crate::output::Printer;

/// Runs the command.
pub(crate) async fn run(command: CardCommand, printer: &Printer) -> Outcome {
    match command {
        CardCommand::Show(args) => show::run(args, printer).await,
        CardCommand::Verify(args) => verify::run(args, printer).await,
        CardCommand::Keygen(args) => keygen::run(&args, printer),
    }
}
