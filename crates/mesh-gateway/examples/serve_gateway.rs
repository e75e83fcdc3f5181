//! Serves the gateway of a mesh file, for trying it by hand: `cargo run --example serve_gateway -- mesh.yaml`.

use mesh_core::SystemClock;
use mesh_core::trace::Tracer;
use mesh_gateway::{Gateway, Settings, Wiring};
use mesh_policy::{JsonlAudit, JsonlSettings, LocalOnly};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: serve_gateway MESH_FILE")?;
    let mesh = mesh_config::load(
        std::path::Path::new(&file),
        &mesh_config::LoadOptions::new(&|name| std::env::var(name).ok()),
    )
    .map_err(|report| report.to_string())?;
    let audit =
        JsonlAudit::open(&JsonlSettings::new(std::env::temp_dir().join("serve-gateway-audit.jsonl")))?;
    let wiring = Wiring {
        audit: Arc::new(audit),
        authorizer: Arc::new(LocalOnly),
        clock: Arc::new(SystemClock),
        tracer: Tracer::default(),
    };
    let mut registry = prometheus_client::registry::Registry::default();
    let gateway = Gateway::new(Settings::from_mesh(&mesh), wiring, &mut registry)?;
    gateway.start();
    let listener = tokio::net::TcpListener::bind(mesh.gateway.listen).await?;
    let stop = async {
        // Without a signal handler the process just ends.
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, gateway.router()).with_graceful_shutdown(stop).await?;
    gateway.shutdown(std::time::Duration::from_secs(4)).await;
    Ok(())
}
