//! `agentmesh schema`.

use crate::exit::{ExitStatus, Outcome};
use crate::output::Printer;

/// Runs the command.
pub(crate) fn run(printer: &Printer) -> Outcome {
    printer.document(&mesh_config::schema())?;
    Ok(ExitStatus::Ok)
}
