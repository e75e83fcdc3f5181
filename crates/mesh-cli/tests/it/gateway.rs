//! The gateway as a command of its own, and a configuration that changes while it runs.

use crate::support::{Server, agentmesh, error, result};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

/// A tool server of the modern generation.
async fn tools() -> Server {
    Server::start(|call| match call.method.as_str() {
        "server/discover" => {
            result(json!({"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}))
        }
        "tools/list" => result(json!({
            "tools": [{"name": "get", "inputSchema": {"type": "object"}}, {"name": "put", "inputSchema": {}}],
            "resultType": "complete"
        })),
        "tools/call" => {
            result(json!({"content": [{"type": "text", "text": "called"}], "resultType": "complete"}))
        }
        _ => error(-32601, "unknown method"),
    })
    .await
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    gateway: String,
    admin: String,
}

impl Running {
    /// Starts it, and waits until it is ready.
    async fn start(folder: &Path, more: &[&str]) -> Self {
        let arguments = [&["gateway", "-o", "json", "--ephemeral"], more].concat();
        let mut child = agentmesh(&arguments).folder(folder).start();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        let running = Self { gateway: text("gateway"), admin: text("admin"), child, lines };
        running.until_ready().await
    }

    async fn until_ready(mut self) -> Self {
        let ready: Value = serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(ready["event"], "ready");
        self
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    async fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

fn mesh(folder: &Path, tools: &str) {
    let text = format!(
        "gateway: {{ listen: 127.0.0.1:0, watch: tools.d, reload: manual }}\nadmin: {{ listen: 127.0.0.1:0 }}\n\
         agents: {{ sales: {{ listen: 127.0.0.1:8092, worker: {{ command: [x] }} }} }}\ntools: {tools}\n"
    );
    std::fs::write(folder.join("mesh.yaml"), text).unwrap();
}

#[tokio::test]
async fn the_gateway_alone_serves_tools_and_follows_its_files() {
    let (folder, server) = (tempfile::tempdir().unwrap(), tools().await);
    let url = format!("{}/mcp", server.url());
    let watched = folder.path().join("tools.d");
    std::fs::create_dir(&watched).unwrap();
    let kit = format!(
        "tools: {{ erp: {{ url: {url:?} }} }}\ntoolsets: {{ kit: {{ description: Both, tools: [crm/get, erp/put] }} }}"
    );
    std::fs::write(watched.join("kit.yaml"), kit).unwrap();
    mesh(folder.path(), &format!("{{ crm: {{ url: {url:?} }} }}"));
    let running = Running::start(folder.path(), &[]).await;

    let agents = agentmesh(&["agents", "-o", "json", "--gateway", &running.gateway]).run().await.json();
    assert_eq!(agents["agents"][0]["name"], "sales", "agents of the file are listed, and run elsewhere");
    let kit = format!("{}/mcp/kit", running.gateway);
    let listed = agentmesh(&["tools", "-o", "json", "--mcp", &kit]).run().await.json();
    let names: Vec<_> = listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["crm_get", "erp_put"]);

    let upstreams = agentmesh(&["upstreams", "--admin", &running.admin]).folder(folder.path()).run().await;
    let shown = upstreams.stdout.replace(&folder.path().display().to_string(), "");
    let shown: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        shown,
        [
            &["UPSTREAM", "STATE", "TOOLS", "FROM", "FAILURE"][..],
            &["crm", "up", "2", "mesh.yaml"],
            &["erp", "up", "2", "/tools.d/kit.yaml"],
            &[],
            &["TOOLSET", "FROM", "DESCRIPTION"],
            &["kit", "/tools.d/kit.yaml", "Both"],
        ],
        "{upstreams}"
    );

    // One more, one changed where only a restart helps, and a file that is wrong.
    mesh(
        folder.path(),
        &format!("{{ crm: {{ url: {url:?} }}, hr: {{ url: {url:?} }} }}\nlimits: {{ depth: 20 }}"),
    );
    std::fs::write(watched.join("bad.yaml"), "tools: { x: { ulr: y } }").unwrap();
    let reload = agentmesh(&["reload", "--admin", &running.admin]).run().await;
    assert_eq!(
        (reload.code, &*reload.stdout),
        (Some(1), "added     hr\nkept      2 as they were\n"),
        "{reload}"
    );
    assert!(reload.stderr.contains("only by a restart: limits"), "{reload}");
    assert!(
        reload.stderr.contains("bad.yaml:1:15") && reload.stderr.contains("did you mean `url`?"),
        "{reload}"
    );

    mesh(folder.path(), "{}");
    std::fs::remove_file(watched.join("bad.yaml")).unwrap();
    running.signal("-HUP");
    let gone = async {
        loop {
            let run = agentmesh(&["upstreams", "-o", "json", "--admin", &running.admin]).run().await.json();
            if run["upstreams"].as_array().unwrap().len() == 1 {
                return run;
            }
        }
    };
    let left = tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.unwrap();
    assert_eq!(left["upstreams"][0]["id"], "erp");
    running.stop().await;
}

#[tokio::test]
async fn the_variables_of_a_deployment_are_honoured_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = agentmesh(&["gateway"]).folder(folder.path()).env("AUTH_ENABLED", "true").run().await;
    assert_eq!(run.code, Some(5), "{run}");
    assert!(run.stderr.contains("AUTH_ENABLED"), "{run}");
    let run = agentmesh(&["gateway"]).folder(folder.path()).env("MCP_DISCOVERY_ENABLED", "maybe").run().await;
    assert_eq!(run.code, Some(2), "{run}");
    assert!(run.stderr.contains("expected true or false"), "{run}");

    let server = tools().await;
    let watched = folder.path().join("tools.d");
    std::fs::create_dir(&watched).unwrap();
    let text = format!("tools: {{ erp: {{ url: \"{}/mcp\" }} }}", server.url());
    std::fs::write(watched.join("erp.yaml"), text).unwrap();
    mesh(folder.path(), "{}");
    let running = Running::start(folder.path(), &["--discovery", "false", "--auth", "false"]).await;
    let found = agentmesh(&["upstreams", "-o", "json", "--admin", &running.admin]).run().await.json();
    assert_eq!(found["upstreams"], json!([]), "without discovery the watched directory is not read");
    running.stop().await;
}
