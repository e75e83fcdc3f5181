//! Starting a worker process, and carrying lines in and out of it.

use bytes::Bytes;
use mesh_config::{Launch, Worker};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest line of standard error that is logged; more is cut.
const LONGEST_LOG_LINE: usize = 8 * 1024;
/// How long a process may take to end after its standard input was closed.
const END_GRACE: Duration = Duration::from_secs(2);

/// A running child with its pipes.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) stdout: ChildStdout,
}

/// Starts the worker in a process group of its own, with a writer for `lines` and a logger for its standard error.
pub(super) fn spawn(agent: &str, worker: &Worker, lines: mpsc::Receiver<Bytes>) -> io::Result<Process> {
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
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a pipe of the child is missing");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    tokio::spawn(write_lines(stdin, lines));
    tokio::spawn(log_lines(agent.to_owned(), stderr));
    Ok(Process { child, stdout })
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
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line[..line.len().min(LONGEST_LOG_LINE)]);
                tracing::info!(target: "worker", agent, "{}", text.trim_end());
            }
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

/// Ends a process: its standard input was closed; after a moment it is killed, with everything that it started.
pub(super) async fn end(mut child: Child, at_once: bool) {
    let pid = child.id();
    if !at_once && tokio::time::timeout(END_GRACE, child.wait()).await.is_ok() {
        kill_group(pid);
        return;
    }
    kill_group(pid);
    let _ = child.kill().await;
}

/// Kills what is left of the process group.
fn kill_group(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Waits for the process to end by itself, or for `stop`.
pub(super) async fn ended(child: &mut Child, stop: &CancellationToken) -> Option<String> {
    tokio::select! {
        status = child.wait() => Some(match status {
            Ok(status) => format!("the worker ended ({status})"),
            Err(error) => format!("the worker cannot be waited for: {error}"),
        }),
        () = stop.cancelled() => None,
    }
}
