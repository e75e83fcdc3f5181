//! Reads the host's lines and hands them to the attempts.

use super::attempt::{Attempt, Signal};
use super::outbox::Outbox;
use super::program::parse;
use super::wire::{HostLine, quoted};
use mesh_core::model::Message;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What the worker does wrong on purpose, for tests of supervision.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Milliseconds between the host's configuration and `ready`
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub start_delay_ms: u64,
    /// Say hello, but never `ready`
    #[arg(long)]
    pub never_ready: bool,
    /// Exit with this code before saying hello
    #[arg(long, value_name = "CODE")]
    pub exit_at_start: Option<u8>,
    /// Answer the configuration with `fatal` and this text, then exit with code 1
    #[arg(long, value_name = "TEXT")]
    pub fatal: Option<String>,
    /// Never answer `ping`
    #[arg(long)]
    pub no_pong: bool,
    /// Say hello with this protocol version
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub protocol: u32,
}

/// What the attempts and the reading thread share.
pub(super) struct Exchange {
    pub(super) outbox: Outbox,
    frozen: AtomicBool,
    next_call: AtomicU64,
    open: Mutex<Open>,
}

/// Who waits for what.
#[derive(Default)]
struct Open {
    attempts: HashMap<(String, u32), SyncSender<Signal>>,
    calls: HashMap<u64, (String, u32)>,
}

impl Exchange {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new call of an attempt; its reply will find the attempt.
    pub(super) fn open_call(&self, task: &str, attempt: u32) -> u64 {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        self.open().calls.insert(id, (task.to_owned(), attempt));
        id
    }

    /// From now on the reading thread reads nothing.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// A signal that finds nobody, or a full queue of somebody who does not listen, is dropped.
    fn signal(&self, task: &str, attempt: u32, signal: Signal) {
        if let Some(sender) = self.open().attempts.get(&(task.to_owned(), attempt)) {
            let _ = sender.try_send(signal);
        }
    }
}

/// Serves until standard input ends. Returns the exit code.
///
/// # Errors
/// Standard input cannot be read.
pub fn serve(options: &Options) -> io::Result<u8> {
    if let Some(code) = options.exit_at_start {
        return Ok(code);
    }
    let exchange = Arc::new(Exchange {
        outbox: Outbox::stdout()?,
        frozen: AtomicBool::new(false),
        next_call: AtomicU64::new(1),
        open: Mutex::default(),
    });
    let hello =
        format!(r#"{{"type":"hello","protocol":{},"sdk":"scripted-worker/0.1.0"}}"#, options.protocol);
    exchange.outbox.line(hello.as_bytes());
    exchange.outbox.flush();
    let mut reader = Reader { options, exchange, line_bytes: 16 << 20 };
    let stdin = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut input = BufReader::with_capacity(1 << 16, stdin);
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(0);
        }
        if let Some(code) = reader.line(&line) {
            reader.exchange.outbox.flush();
            return Ok(code);
        }
        if !input.buffer().contains(&b'\n') {
            reader.exchange.outbox.flush();
        }
        while reader.exchange.frozen.load(Ordering::Relaxed) {
            thread::park();
        }
    }
}

fn is_of_unknown_type(line: &[u8]) -> bool {
    const KNOWN: [&str; 6] = ["config", "ping", "task", "input", "cancel", "reply"];
    let line: Result<serde_json::Value, _> = serde_json::from_slice(line);
    line.is_ok_and(|line| line["type"].as_str().is_some_and(|kind| !KNOWN.contains(&kind)))
}

struct Reader<'a> {
    options: &'a Options,
    exchange: Arc<Exchange>,
    line_bytes: usize,
}

impl Reader<'_> {
    /// Handles one line. `Some` is an exit code: the worker ends.
    fn line(&mut self, line: &[u8]) -> Option<u8> {
        let line = match serde_json::from_slice::<HostLine<'_>>(line) {
            Ok(line) => line,
            // A type that is not known may use the same names for something else.
            Err(_) if is_of_unknown_type(line) => return None,
            Err(_) => return Some(3),
        };
        match &*line.kind {
            "config" => return self.config(&line),
            "ping" if !self.options.no_pong => {
                let id = line.id.map_or("null", |id| id.get());
                self.exchange.outbox.line(format!(r#"{{"type":"pong","id":{id}}}"#).as_bytes());
            }
            "task" => self.task(line),
            "input" | "cancel" => {
                let signal = if line.kind == "cancel" {
                    Signal::Cancel
                } else {
                    Signal::Input(line.message.map(|m| m.text()).unwrap_or_default())
                };
                let task = quoted(line.task.as_deref().unwrap_or_default());
                self.exchange.signal(&task, line.attempt.unwrap_or_default(), signal);
            }
            "reply" => self.reply(line),
            _ => {}
        }
        None
    }

    fn config(&mut self, line: &HostLine<'_>) -> Option<u8> {
        if let Some(bytes) = line.limits.as_ref().and_then(|limits| limits.line_bytes) {
            self.line_bytes = bytes;
        }
        if let Some(text) = &self.options.fatal {
            let text = quoted(text);
            self.exchange.outbox.line(format!(r#"{{"type":"fatal","message":{text}}}"#).as_bytes());
            return Some(1);
        }
        if self.options.never_ready {
            return None;
        }
        let ready = |exchange: &Exchange| {
            exchange.outbox.line(br#"{"type":"ready","framework":"scripted"}"#);
            exchange.outbox.flush();
        };
        if self.options.start_delay_ms == 0 {
            ready(&self.exchange);
        } else {
            let (exchange, delay) = (Arc::clone(&self.exchange), self.options.start_delay_ms);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(delay));
                ready(&exchange);
            });
        }
        None
    }

    fn task(&self, line: HostLine<'_>) {
        let task = quoted(line.task.as_deref().unwrap_or_default());
        let number = line.attempt.unwrap_or_default();
        let mut attempt = Attempt {
            task: task.clone(),
            number,
            answers: line.answers.iter().map(Message::text).collect(),
            line_bytes: self.line_bytes,
            exchange: Arc::clone(&self.exchange),
            signals: None,
            chunks: 0,
            told: 0,
        };
        let program = parse(&line.message.map(|m| m.text()).unwrap_or_default());
        let steps = program.unwrap_or_else(|error| vec![super::Step::Reject(error.to_string())]);
        if steps.iter().all(super::Step::is_brief) {
            return attempt.run(&steps);
        }
        let (sender, signals) = sync_channel(16);
        attempt.signals = Some(signals);
        self.exchange.open().attempts.insert((task.clone(), number), sender);
        let exchange = Arc::clone(&self.exchange);
        thread::spawn(move || {
            attempt.run(&steps);
            exchange.outbox.flush();
            exchange.open().attempts.remove(&(task, number));
        });
    }

    fn reply(&self, line: HostLine<'_>) {
        let id = line.id.and_then(|id| id.get().parse().ok()).unwrap_or_default();
        let Some((task, attempt)) = self.exchange.open().calls.remove(&id) else { return };
        let reply = match line.error {
            Some(error) => Err(format!("{}: {}", error.code, error.message)),
            None => Ok(line.result.unwrap_or_default()),
        };
        self.exchange.signal(&task, attempt, Signal::Reply(reply));
    }
}
