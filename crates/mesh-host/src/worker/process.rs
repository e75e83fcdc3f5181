//! Starting a worker process, and carrying lines in and out of it.

use bytes::Bytes;
use mesh_config::{Launch, Worker};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// Longest line of standard error that is logged; more is cut.
const LONGEST_LOG_LINE: usize = 8 * 1024;

/// A running child with everything that it started: all of it is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    /// `None` once the whole group is gone.
    group: Option<Pid>,
}

/// Starts the worker in a process group of its own, with a writer for `lines` and a logger for its standard error.
pub(super) fn spawn(
    agent: &str,
    worker: &Worker,
    lines: mpsc::Receiver<Bytes>,
) -> io::Result<(Process, ChildStdout)> {
    let mut command = command(worker)?;
    command
        .current_dir(&worker.cwd)
        .envs(worker.env.iter().map(|(name, value)| (name, value.expose())))
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let program = command.as_std().get_program().to_owned();
    let named = |error| io::Error::other(format!("{}: {error}", program.display()));
    let mut child = command.spawn().map_err(named)?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let missing = || io::Error::other("a pipe of the child is missing");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    tokio::spawn(write_lines(stdin, lines));
    tokio::spawn(log_lines(agent.to_owned(), stderr));
    Ok((Process { child, group }, stdout))
}

impl Process {
    /// Waits until the process ends by itself, and tells how. What it started does not outlive it.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.kill_group();
        match status {
            Ok(status) => format!("the worker ended ({status})"),
            Err(error) => format!("the worker cannot be waited for: {error}"),
        }
    }

    /// Kills the process with everything that it started.
    pub(super) async fn kill(mut self) {
        self.kill_group();
        let _ = self.child.kill().await;
    }

    /// Once only: the number may be somebody else's later.
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}

fn command(worker: &Worker) -> io::Result<Command> {
    match &worker.launch {
        Launch::Command(words) => {
            let (program, arguments) =
                words.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
            let mut command = Command::new(program_path(program, &worker.cwd));
            command.args(arguments);
            Ok(command)
        }
        Launch::Python { entry, venv } => {
            let python =
                venv.as_ref().map_or_else(|| "python3".into(), |venv| venv.join("bin").join("python"));
            let mut command = Command::new(python);
            command.args(["-m", "agentmesh", entry]);
            Ok(command)
        }
    }
}

/// A program with a slash in its name is found from the worker's folder, any other on the path.
fn program_path(program: &str, cwd: &Path) -> std::path::PathBuf {
    if program.contains('/') { cwd.join(program) } else { program.into() }
}

async fn write_lines(stdin: ChildStdin, mut lines: mpsc::Receiver<Bytes>) {
    let mut out = BufWriter::with_capacity(64 * 1024, stdin);
    while let Some(line) = lines.recv().await {
        if out.write_all(&line).await.is_err() {
            return;
        }
        // Flush when nothing more waits, so that a burst is one write.
        if lines.is_empty() && out.flush().await.is_err() {
            return;
        }
    }
    let _ = out.shutdown().await;
}

async fn log_lines(agent: String, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(chunk) = reader.fill_buf().await {
        let (taken, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        let room = LONGEST_LOG_LINE.saturating_sub(line.len());
        line.extend_from_slice(&chunk[..taken.min(room)]);
        reader.consume(taken);
        if ended && !line.is_empty() {
            tracing::info!(target: "worker", agent, "{}", String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        if taken == 0 {
            return;
        }
    }
}

/// Reads one line of at most `limit` bytes into `line`. `Ok(false)` at the end of the stream.
pub(super) async fn read_line(
    reader: &mut BufReader<ChildStdout>,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<bool> {
    line.clear();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let (taken, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), false),
        };
        if line.len() + taken > limit {
            return Err(io::Error::other(format!(
                "a line is longer than {limit} bytes (limits.worker_line)"
            )));
        }
        line.extend_from_slice(&chunk[..taken]);
        reader.consume(taken);
        if ended {
            return Ok(true);
        }
    }
}
