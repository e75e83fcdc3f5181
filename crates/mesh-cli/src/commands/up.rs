//! `agentmesh up`.

use crate::cli::UpArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer};
use crate::run::{Parts, RunningMesh, Signals, Start, raise_limit};
use crate::telemetry::Telemetry;
use mesh_config::{LoadOptions, Mesh};
use serde_json::json;
use std::time::{Duration, Instant};

/// What running attempts get to end by themselves after Ctrl-C.
const DRAIN_GRACE: Duration = Duration::from_secs(20);

/// Runs the command.
pub(crate) async fn run(args: UpArgs, printer: &Printer) -> Outcome {
    let start = Start {
        parts: Parts::All,
        file: Some(args.file),
        ephemeral: args.ephemeral,
        insecure: args.insecure,
        discovery: true,
        free_ports: false,
    };
    serve(start, printer).await
}

/// The mesh that the file describes.
pub(super) fn load(start: &Start, printer: &Printer) -> Outcome<Mesh> {
    let Some(file) = &start.file else { return Ok(Mesh::default()) };
    let env = |name: &str| std::env::var(name).ok();
    mesh_config::load(file, &LoadOptions::new(&env).insecure(start.insecure)).map_err(|report| {
        printer.note(&report.to_string());
        Failure::silent(ExitStatus::InvalidConfig)
    })
}

/// Runs parts of a mesh until a signal ends them.
pub(crate) async fn serve(start: Start, printer: &Printer) -> Outcome {
    let began = Instant::now();
    let mut mesh = load(&start, printer)?;
    let telemetry = Telemetry::start(&mesh.telemetry)?;
    let files = raise_limit();
    tracing::debug!(files, connections = mesh.limits.connections, "limit on open files");
    let mut signals = Signals::new()?;
    let running = RunningMesh::start(&mut mesh, &start, telemetry.tracer()).await?;
    signals.reload_with(running.reload.clone());
    if start.insecure {
        tracing::warn!("--insecure: listeners are open to other machines while nobody has to authenticate");
    }
    announce(&mesh, &running, &start, printer)?;
    let ended = tokio::select! {
        () = signals.stop() => true,
        () = running.readiness.wait_ready() => false,
    };
    if !ended {
        announce_ready(began, printer)?;
        signals.stop().await;
    }
    printer.note(match start.parts {
        Parts::All => {
            "stopping: running tasks get up to 20 s, what is left goes on at the next start (Ctrl-C again: stop now)"
        }
        Parts::Gateway => "stopping: open calls get up to 10 s (Ctrl-C again: stop now)",
    });
    tokio::select! {
        () = running.shutdown(DRAIN_GRACE) => {}
        () = signals.stop() => {
            printer.note("stopping now");
            tokio::select! {
                () = running.shutdown(Duration::ZERO) => {}
                // What does not even stop now is left to the operating system.
                () = signals.stop() => {}
            }
        }
    }
    telemetry.shutdown().await;
    Ok(ExitStatus::Ok)
}

fn announce(mesh: &Mesh, running: &RunningMesh, start: &Start, printer: &Printer) -> Outcome<()> {
    let storage = match &mesh.storage.nats {
        _ if start.ephemeral => "memory".to_owned(),
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
    printer.line(&format!("  admin    http://{}  (/healthz /readyz /metrics /api)", mesh.admin.listen))?;
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
