//! The child process itself: started in a process group of its own, and ended with all of it.
//!
//! When the gateway is killed with SIGKILL, nothing of this runs; the child then sees the end of its standard input,
//! at which MCP servers stop. A helper given as `launcher` may set a parent-death signal besides.

use super::Spawn;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Variables of ours that a child gets; everything else only as configured, so that our secrets stay ours.
const INHERITED: [&str; 13] = [
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
];

/// A running child and its group. Dropping it kills the group.
pub(super) struct Process {
    child: Child,
    group: Group,
}

/// The three streams of a child.
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    pub(super) fn start(spawn: &Spawn) -> std::io::Result<(Self, Streams)> {
        let mut words = spawn.launcher.iter().chain(&spawn.command);
        let program = words
            .next()
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidInput, "empty command"))?;
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(program);
        command
            .args(words)
            .env_clear()
            .envs(inherited)
            .envs(spawn.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if !spawn.cwd.as_os_str().is_empty() {
            command.current_dir(&spawn.cwd);
        }
        let mut child = command.spawn()?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
        let missing = || std::io::Error::other("a standard stream is missing");
        let streams = Streams {
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
        };
        Ok((Self { child, group }, streams))
    }

    /// Waits until it exits by itself.
    pub(super) async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it. Its standard input was closed; half of `grace` later comes SIGTERM, at the end of it SIGKILL.
    pub(super) async fn end(mut self, grace: Duration) -> std::io::Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(grace / 2, self.child.wait()).await {
            return status;
        }
        self.group.signal(Signal::SIGTERM);
        if let Ok(status) = tokio::time::timeout(grace / 2, self.child.wait()).await {
            return status;
        }
        self.group.signal(Signal::SIGKILL);
        self.child.wait().await
    }
}

/// The process group that a child leads.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // ESRCH: nobody is left, which is what we want.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What the child left behind. While the group has members its number is not given to another process.
        self.signal(Signal::SIGKILL);
    }
}
