//! A worker under test, and the host's side of the conversation.

use super::memory::Memory;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LinesCodec};

/// The longest line that a worker may write; what its `config` message says.
pub(crate) const LINE_BYTES: usize = 16 << 20;
/// How many messages of a worker are kept.
const MAX_SEEN: usize = 100_000;
/// How many lines of standard error are kept.
const STDERR_LINES: usize = 20;

/// A line of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The message.
    pub(crate) message: Value,
    /// When it came.
    pub(crate) at: Instant,
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The time was up.
    TimedOut,
    /// The worker closed its standard output.
    Closed,
}

/// The last lines of standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stderr(Arc<Mutex<VecDeque<String>>>);

impl Stderr {
    /// What there is.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    async fn collect(self, from: ChildStderr) {
        let mut lines = FramedRead::new(from, LinesCodec::new_with_max_length(64 << 10));
        // After a line that is too long, the codec goes on with the next.
        while let Some(line) = lines.next().await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == STDERR_LINES {
                kept.pop_front();
            }
            kept.push_back(line.unwrap_or_else(|error| error.to_string()));
        }
    }
}

/// A started worker.
pub(crate) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: FramedRead<ChildStdout, LinesCodec>,
    stderr: Stderr,
    memory: Memory,
    /// Everything it said that is a message.
    pub(crate) seen: Vec<Seen>,
    /// Lines on its standard output that are none.
    pub(crate) stray: Vec<String>,
}

impl Worker {
    /// Starts the command.
    pub(crate) fn start(command: &[String]) -> std::io::Result<Self> {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let closed = || std::io::Error::other("it has no standard streams");
        let stderr = Stderr::default();
        tokio::spawn(stderr.clone().collect(child.stderr.take().ok_or_else(closed)?));
        Ok(Self {
            stdin: Some(child.stdin.take().ok_or_else(closed)?),
            stdout: FramedRead::new(
                child.stdout.take().ok_or_else(closed)?,
                LinesCodec::new_with_max_length(LINE_BYTES),
            ),
            child,
            stderr,
            memory: Memory::default(),
            seen: Vec::new(),
            stray: Vec::new(),
        })
    }

    /// What it writes to standard error.
    pub(crate) fn stderr(&self) -> Stderr {
        self.stderr.clone()
    }

    /// Sends a message. That the worker has gone shows when an answer is missing.
    pub(crate) async fn send(&mut self, message: &Value) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(format!("{message}\n").as_bytes()).await;
            let _ = stdin.flush().await;
        }
    }

    /// Waits until a message from number `from` on is what is looked for, and answers what the worker asks.
    pub(crate) async fn wait(
        &mut self,
        from: usize,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Seen, Missing> {
        let deadline = Instant::now() + limit;
        let mut next = from;
        loop {
            while let Some(seen) = self.seen.get(next) {
                if wanted(&seen.message) {
                    return Ok(seen.clone());
                }
                next += 1;
            }
            tokio::time::timeout_at(deadline, self.read()).await.map_err(|_| Missing::TimedOut)??;
        }
    }

    /// Reads one line.
    async fn read(&mut self) -> Result<(), Missing> {
        let line = match self.stdout.next().await {
            None => return Err(Missing::Closed),
            Some(Ok(line)) => line,
            Some(Err(error)) => {
                self.stray.push(error.to_string());
                return Ok(());
            }
        };
        match serde_json::from_str::<Value>(&line) {
            Ok(message) if message["type"].is_string() && self.seen.len() < MAX_SEEN => {
                self.seen.push(Seen { message: message.clone(), at: Instant::now() });
                self.answer(&message).await;
            }
            _ => self.stray.push(line),
        }
        Ok(())
    }

    /// There are no tools, no other agents, and nobody who knows more than the task says; but a context has a memory.
    async fn answer(&mut self, message: &Value) {
        if message["type"] == "call" {
            let mut reply = match self.memory.answer(message) {
                Some(reply) => reply,
                None => json!({ "error": { "code": "unavailable", "message": "this is only a check" } }),
            };
            reply["type"] = json!("reply");
            reply["id"] = message["id"].clone();
            self.send(&reply).await;
        }
        if matches!(message["state"].as_str(), Some("input-required" | "auth-required")) {
            self.send(&json!({
                "type": "input",
                "task": message["task"],
                "attempt": message["attempt"],
                "message": user_message("yes"),
            }))
            .await;
        }
    }

    /// Closes its standard input, and waits for it to exit.
    pub(crate) async fn close(mut self, limit: Duration) -> Option<ExitStatus> {
        drop(self.stdin.take());
        let end = async {
            // It may have something left to say; a full pipe must not keep it.
            while self.stdout.next().await.is_some() {}
            self.child.wait().await.ok()
        };
        let status = tokio::time::timeout(limit, end).await.ok().flatten();
        if status.is_none() {
            let _ = self.child.kill().await;
        }
        status
    }
}

/// A message of a user.
pub(crate) fn user_message(text: &str) -> Value {
    json!({ "messageId": uuid::Uuid::now_v7().to_string(), "role": "ROLE_USER", "parts": [{ "text": text }] })
}
