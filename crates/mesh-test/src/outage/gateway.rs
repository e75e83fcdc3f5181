//! The gateway that is tested: `agentmesh up` with a file of its own, and what runs behind it.

use crate::echo::EchoServer;
use crate::relay::Relay;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const START: Duration = Duration::from_secs(60);

/// Everything that runs; it ends when this is dropped.
pub(super) struct Site {
    pub(super) gateway: String,
    /// In front of each target.
    pub(super) relays: Vec<Relay>,
    _servers: Vec<EchoServer>,
    _process: Child,
}

impl Site {
    /// Starts the targets, the other upstream, and the gateway.
    pub(super) async fn start(program: &Path, directory: &Path, targets: usize) -> Result<Self, String> {
        let (mut servers, mut relays) = (Vec::new(), Vec::new());
        let any = ([127, 0, 0, 1], 0).into();
        for _ in 0..targets {
            let server = EchoServer::start(0).await.map_err(|e| e.to_string())?;
            relays.push(Relay::start(any, vec![server.address]).await.map_err(|e| e.to_string())?);
            servers.push(server);
        }
        let other = EchoServer::start(0).await.map_err(|e| e.to_string())?;
        let url = |address| format!("http://{address}/mcp");
        let several: Vec<_> = relays.iter().map(|relay| json!({"url": url(relay.address)})).collect();
        // A single target is written in the plain way.
        let broken = match several.as_slice() {
            [one] => one.clone(),
            _ => json!({ "targets": several }),
        };
        let any = json!({"listen": "127.0.0.1:0"});
        let upstream = |mut settings: Value| {
            settings["timeout"] = json!("2s");
            // The tool is harmless, and said to be; one attempt of several must leave time for another.
            settings["retries"] = json!({ "tools": ["*"], "attempt_timeout": "500ms" });
            settings
        };
        let mesh = json!({
            "mesh": "outage", "gateway": any, "admin": any,
            "tools": {"broken": upstream(broken), "other": upstream(json!({"url": url(other.address)}))},
        });
        servers.push(other);
        let file = directory.join("mesh.yaml");
        // JSON is YAML.
        std::fs::write(&file, mesh.to_string()).map_err(|e| format!("{}: {e}", file.display()))?;
        let (process, gateway) = start(program, directory, &file).await?;
        Ok(Self { gateway, relays, _servers: servers, _process: process })
    }
}

async fn start(program: &Path, directory: &Path, file: &Path) -> Result<(Child, String), String> {
    let log = std::fs::File::create(directory.join("gateway.log")).map_err(|e| e.to_string())?;
    let mut process = Command::new(program)
        .args(["up", "-o", "json", "-f"])
        .arg(file)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let output = process.stdout.take().ok_or("the gateway has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut address = None;
    loop {
        let line =
            timeout(START, lines.next_line()).await.map_err(|_| "the gateway did not start in time")?;
        let line = line.map_err(|e| e.to_string())?.ok_or_else(|| {
            format!("the gateway did not start: see {}", directory.join("gateway.log").display())
        })?;
        let event: Value = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))?;
        if let Some(gateway) = event["gateway"].as_str() {
            address = Some(gateway.to_owned());
        }
        if event["event"] == "ready" {
            break;
        }
    }
    // What it still says is read, so that its pipe never fills.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((process, address.ok_or("the gateway did not say where it listens")?))
}
