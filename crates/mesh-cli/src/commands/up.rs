//! `agentmesh up`.

use crate::cli::UpArgs;
use crate::exit::{Failure, Outcome};
use crate::output::Printer;

/// Runs the command.
#[expect(clippy::unused_async, reason = "what replaces this waits")]
pub(crate) async fn run(args: UpArgs, _printer: &Printer) -> Outcome {
    let UpArgs { file, ephemeral: _, insecure: _ } = args;
    Err(Failure::failed(format!("`agentmesh up` is not built yet, so {} was not started", file.display())))
}
