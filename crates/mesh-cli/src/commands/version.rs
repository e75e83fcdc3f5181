//! `agentmesh version`.

use crate::exit::{ExitStatus, Outcome};
use crate::output::Printer;
use crate::{check, mcp};
use serde_json::json;

/// The commit that the build was told it is of.
const COMMIT: Option<&str> = option_env!("AGENTMESH_COMMIT");

/// Runs the command.
pub(crate) fn run(printer: &Printer) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if printer.is_json() {
        printer.document(&json!({
            "version": version,
            "commit": COMMIT,
            "a2a": ["1.0"],
            "mcp": mcp::VERSIONS,
            "worker": check::PROTOCOL,
        }))?;
        return Ok(ExitStatus::Ok);
    }
    let commit = COMMIT.map(|commit| format!(" ({commit})")).unwrap_or_default();
    printer.line(&format!("agentmesh {version}{commit}"))?;
    printer.line("A2A 1.0")?;
    printer.line(&format!("MCP {}", mcp::VERSIONS.join(", ")))?;
    printer.line(&format!("worker protocol {}", check::PROTOCOL))?;
    Ok(ExitStatus::Ok)
}
