//! `agentmesh gateway`.

use super::up::serve;
use crate::cli::RunGatewayArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use crate::run::{Parts, Start};
use crate::target::DEFAULT_FILE;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) async fn run(args: RunGatewayArgs, printer: &Printer) -> Outcome {
    if args.auth == Some(true) {
        let message = "AUTH_ENABLED (--auth) is true, but callers cannot be authenticated yet: the gateway is not started open instead";
        return Err(Failure::new(ExitStatus::InvalidConfig, message).hint(
            "set it to false; while it is, listen on a local address, or behind a proxy that authenticates",
        ));
    }
    if args.stdio {
        return Err(Failure::usage("--stdio is not supported by this build"));
    }
    let found = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
    let start = Start {
        parts: Parts::Gateway,
        file: args.file.or_else(found),
        ephemeral: args.ephemeral,
        insecure: args.insecure,
        discovery: args.discovery.unwrap_or(true),
    };
    serve(start, printer).await
}
