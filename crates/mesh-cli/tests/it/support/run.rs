//! Runs of the binary.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;

/// No run takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a run came to. Displayed, it is what snapshots hold.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The lines of standard output as JSON values.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        write!(f, "exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// A run to be.
pub(crate) struct Command {
    inner: tokio::process::Command,
    input: Option<String>,
}

/// The binary with arguments, away from any environment and mesh file.
pub(crate) fn agentmesh(arguments: &[&str]) -> Command {
    let mut inner = tokio::process::Command::new(env!("CARGO_BIN_EXE_agentmesh"));
    inner
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env_remove("AGENT_GATEWAY_URL")
        .env_remove("AGENTMESH_LOG")
        .env("NO_PROXY", "*")
        .env("COLUMNS", "100")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Command { inner, input: None }
}

impl Command {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.inner.current_dir(folder);
        self
    }

    pub(crate) fn input(mut self, text: &str) -> Self {
        self.inner.stdin(Stdio::piped());
        self.input = Some(text.to_owned());
        self
    }

    /// Starts it, for tests that do something meanwhile.
    pub(crate) fn start(mut self) -> Child {
        self.inner.spawn().unwrap()
    }

    /// Runs it to its end.
    pub(crate) async fn run(mut self) -> Run {
        let mut child = self.inner.spawn().unwrap();
        if let Some(text) = self.input {
            child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        }
        let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it hangs").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
