//! `agentmesh up`.

use crate::cli::UpArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer};
use crate::run::{RunningMesh, raise_limit};
use crate::telemetry::Telemetry;
use mesh_config::{LoadOptions, Mesh};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What running attempts get to end by themselves after Ctrl-C.
const DRAIN_GRACE: Duration = Duration::from_secs(20);

/// Runs the command.
pub(crate) async fn run(args: UpArgs, printer: &Printer) -> Outcome {
    let start = Instant::now();
    let env = |name: &str| std::env::var(name).ok();
    let options = LoadOptions::new(&env).insecure(args.insecure);
    let mut mesh = mesh_config::load(&args.file, &options).map_err(|report| {
        printer.note(&report.to_string());
        Failure::silent(ExitStatus::InvalidConfig)
    })?;
    let telemetry = Telemetry::start(&mesh.telemetry)?;
    let files = raise_limit();
    tracing::debug!(files, connections = mesh.limits.connections, "limit on open files");
    let mut signals = Signals::new()?;
    let running = RunningMesh::start(&mut mesh, args.ephemeral, telemetry.tracer()).await?;
    if args.insecure {
        tracing::warn!("--insecure: listeners are open to other machines while nobody has to authenticate");
    }
    announce(&mesh, &running, args.ephemeral, printer)?;
    let ended = tokio::select! {
        () = signals.next() => true,
        () = running.readiness.wait_ready() => false,
    };
    if !ended {
        announce_ready(start, printer)?;
        signals.next().await;
    }
    printer.note("stopping: running tasks get up to 20 s, what is left goes on at the next start (Ctrl-C again: stop now)");
    tokio::select! {
        () = running.shutdown(DRAIN_GRACE) => {}
        () = signals.next() => {
            printer.note("stopping now");
            tokio::select! {
                () = running.shutdown(Duration::ZERO) => {}
                // What does not even stop now is left to the operating system.
                () = signals.next() => {}
            }
        }
    }
    telemetry.shutdown().await;
    Ok(ExitStatus::Ok)
}

fn announce(mesh: &Mesh, running: &RunningMesh, ephemeral: bool, printer: &Printer) -> Outcome<()> {
    let storage = match &mesh.storage.nats {
        _ if ephemeral => "memory".to_owned(),
        // The addresses may hold passwords.
        Some(_) => format!("NATS, stream {}-log", mesh.mesh),
        None => mesh.storage.path.display().to_string(),
    };
    if printer.is_json() {
        let agents: serde_json::Map<_, _> =
            mesh.agents.iter().map(|(name, agent)| (name.clone(), agent.url().into())).collect();
        return printer.record(&json!({
            "event": "started",
            "mesh": mesh.mesh,
            "gateway": format!("http://{}", mesh.gateway.listen),
            "admin": format!("http://{}", mesh.admin.listen),
            "agents": agents,
            "storage": storage,
            "resumedTasks": running.resumed,
        }));
    }
    let bold = |text: &str| printer.ink(Ink::Bold, text);
    printer.line(&format!("mesh {}", bold(&mesh.mesh)))?;
    printer.line(&format!("  gateway  http://{}  (MCP at /mcp, agents at /agents)", mesh.gateway.listen))?;
    printer.line(&format!("  admin    http://{}  (/healthz /readyz /metrics)", mesh.admin.listen))?;
    for (name, agent) in &mesh.agents {
        printer.line(&format!("  agent    {}  {}", agent.url(), bold(name)))?;
    }
    printer.line(&format!("  storage  {storage}"))?;
    if running.resumed > 0 {
        printer.line(&format!("  resumed  {} unfinished tasks", running.resumed))?;
    }
    Ok(())
}

fn announce_ready(start: Instant, printer: &Printer) -> Outcome<()> {
    let took = start.elapsed();
    if printer.is_json() {
        return printer.record(&json!({ "event": "ready", "milliseconds": took.as_secs_f64() * 1000.0 }));
    }
    printer.line(&format!(
        "{} after {:.0} ms; Ctrl-C stops",
        printer.ink(Ink::Green, "ready"),
        took.as_secs_f64() * 1000.0
    ))
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Outcome<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be received: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
