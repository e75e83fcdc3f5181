//! `agentmesh gateway`.

use super::up::{load, serve};
use crate::cli::RunGatewayArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use crate::run::{Parts, RunningMesh, Signals, Start, raise_limit};
use crate::target::DEFAULT_FILE;
use crate::telemetry::Telemetry;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What open calls get when the client on standard input has gone.
const STDIO_GRACE: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) async fn run(args: RunGatewayArgs, printer: &Printer) -> Outcome {
    if args.auth == Some(true) {
        let message = "AUTH_ENABLED (--auth) is true, but callers cannot be authenticated yet: the gateway is not started open instead";
        return Err(Failure::new(ExitStatus::InvalidConfig, message).hint(
            "set it to false; while it is, listen on a local address, or behind a proxy that authenticates",
        ));
    }
    let found = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
    let start = Start {
        parts: Parts::Gateway,
        file: args.file.or_else(found),
        ephemeral: args.ephemeral || args.stdio,
        insecure: args.insecure,
        discovery: args.discovery.unwrap_or(true),
        free_ports: args.stdio,
    };
    if args.stdio { stdio(start, args.only, printer).await } else { serve(start, printer).await }
}

/// Standard input and output as files, whatever is behind them: a pipe, a socket, a terminal.
fn standard_streams() -> std::io::Result<(tokio::fs::File, tokio::fs::File)> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok((tokio::fs::File::from_std(stdin.into()), tokio::fs::File::from_std(stdout.into())))
}

/// Serves one client until it closes our standard input, or a signal ends us.
async fn stdio(start: Start, only: Option<String>, printer: &Printer) -> Outcome {
    let mut mesh = load(&start, printer)?;
    let telemetry = Telemetry::start(&mesh.telemetry)?;
    raise_limit();
    let mut signals = Signals::new()?;
    let running = RunningMesh::start(&mut mesh, &start, telemetry.tracer()).await?;
    signals.reload_with(running.reload.clone());
    tracing::info!(admin = %mesh.admin.listen, "serving standard input");
    let (stdin, stdout) = standard_streams()
        .map_err(|error| Failure::failed(format!("the standard streams cannot be used: {error}")))?;
    let served = tokio::select! {
        served = mesh_gateway::serve_stdio(running.gateway(), stdin, stdout, only) => served,
        () = signals.stop() => Ok(()),
    };
    running.shutdown(STDIO_GRACE).await;
    telemetry.shutdown().await;
    match served {
        Ok(()) => Ok(ExitStatus::Ok),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}
