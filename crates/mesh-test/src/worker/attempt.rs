//! One attempt of one task: runs its program.

use super::outbox::Outbox;
use super::program::Step;
use super::serve::Exchange;
use super::wire::{quoted, text_of_result};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the host tells an attempt.
pub(super) enum Signal {
    /// A person's answer.
    Input(String),
    /// The answer to a call.
    Reply(Result<Value, String>),
    /// Stop.
    Cancel,
}

/// Why a program does not go on to its end.
enum Stop {
    /// The attempt has ended in this state, with this text.
    Ended(&'static str, String),
    /// Nothing more is said about it.
    Silent,
}

pub(super) struct Attempt {
    pub(super) task: String,
    pub(super) number: u32,
    pub(super) answers: VecDeque<String>,
    pub(super) line_bytes: usize,
    pub(super) exchange: Arc<Exchange>,
    /// `None` when the reading thread runs the program itself.
    pub(super) signals: Option<Receiver<Signal>>,
    /// Chunks of `out` so far.
    pub(super) chunks: u32,
    /// Pieces of `tell` so far.
    pub(super) told: u32,
}

impl Attempt {
    /// Runs the program to its end and says how it ended.
    pub(super) fn run(mut self, steps: &[Step]) {
        let mut outcome = Stop::Ended("completed", String::new());
        for step in steps {
            if let Err(stop) = self.step(step) {
                outcome = stop;
                break;
            }
        }
        if let Stop::Ended(state, text) = outcome {
            self.state(state, &text);
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Bench => self.chunks(10, 24)?,
            Step::Echo(text) => self.chunk(text, true),
            Step::Chunks { count, bytes } => self.chunks(*count, *bytes)?,
            Step::Status(count) => {
                for n in 1..=*count {
                    self.status(&format!("step {n} of {count}"));
                    self.obey_cancel()?;
                }
            }
            Step::Ask { question, authorize } => {
                let answer = self.ask(question, *authorize)?;
                self.chunk(&answer, true);
            }
            Step::CallTool { tool, arguments } => {
                self.call(&json!({"tool": tool, "arguments": arguments}))?;
            }
            Step::CallAgent { agent, text } => {
                self.call(&json!({"agent": agent, "parts": [{"text": text}]}))?;
            }
            Step::Memory(call) => self.call(&json!({ "memory": call }))?,
            Step::Count { key, times } => {
                for _ in 0..*times {
                    self.count(key)?;
                }
            }
            Step::History(call) => self.call(&json!({ "history": call }))?,
            Step::Discover(call) => self.call(&json!({ "discover": call }))?,
            Step::Fail(text) => return Err(Stop::Ended("failed", text.clone())),
            Step::Reject(text) => return Err(Stop::Ended("rejected", text.clone())),
            Step::Slow { count, pause } => {
                for n in 1..=*count {
                    self.chunk(&format!("slow {n} of {count}; "), n == *count);
                    self.pause(*pause)?;
                }
            }
            Step::Tell { count, pause } => {
                for _ in 0..*count {
                    self.told += 1;
                    self.chunk(&format!("attempt {} piece {}; ", self.number, self.told), false);
                    self.pause(*pause)?;
                }
            }
            Step::Stamp { count, pause, bytes } => {
                for n in 1..=*count {
                    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                    self.chunk(&format!("{:.<bytes$}", format!("@{n}:{time}:")), n == *count);
                    self.pause(*pause)?;
                }
            }
            Step::WaitFile(path) => {
                self.chunk("waiting; ", false);
                while !path.exists() {
                    self.pause(Duration::from_millis(5))?;
                }
            }
            Step::Hang => {
                self.status("hanging");
                loop {
                    self.pause(Duration::from_secs(3600))?;
                }
            }
            Step::Hog => {
                self.status("hogging");
                return Err(Stop::Silent);
            }
            Step::Freeze => self.exchange.freeze(),
            Step::Crash { after, attempts } => self.crash(*after, *attempts)?,
            Step::Garbage => self.outbox().line(br#"{"type":"event","task":"#),
            Step::StdoutNoise => self.outbox().line(b"a print statement that nobody moved away"),
            Step::Huge => self.chunk(&"x".repeat(self.line_bytes + 1), true),
        }
        Ok(())
    }

    fn outbox(&self) -> &Outbox {
        &self.exchange.outbox
    }

    fn event(&self, rest: &str) {
        let Self { task, number, .. } = self;
        self.outbox()
            .line(format!(r#"{{"type":"event","task":{task},"attempt":{number},"kind":{rest}}}"#).as_bytes());
    }

    fn status(&self, text: &str) {
        self.event(&format!(r#""status","text":{}"#, quoted(text)));
    }

    fn state(&self, state: &str, text: &str) {
        if text.is_empty() {
            self.event(&format!(r#""state","state":"{state}""#));
        } else {
            self.event(&format!(r#""state","state":"{state}","text":{}"#, quoted(text)));
        }
    }

    fn chunk(&mut self, text: &str, last: bool) {
        let append = self.chunks > 0;
        self.chunks += 1;
        let text = quoted(text);
        self.event(&format!(
            r#""artifact","artifact":{{"artifactId":"out","parts":[{{"text":{text}}}]}},"append":{append},"lastChunk":{last}"#
        ));
    }

    /// Chunks whose text tells their number, written in batches.
    fn chunks(&mut self, count: u32, bytes: usize) -> Result<(), Stop> {
        let Self { task, number, .. } = self;
        let head = format!(
            r#"{{"type":"event","task":{task},"attempt":{number},"kind":"artifact","artifact":{{"artifactId":"out","parts":[{{"text":""#
        );
        let mut batch = String::with_capacity((head.len() + bytes + 48) * count.min(64) as usize);
        for n in 1..=count {
            let append = self.chunks > 0;
            self.chunks += 1;
            batch.push_str(&head);
            let begin = batch.len();
            let _ = write!(batch, "chunk {n} of {count} ");
            let written = batch.len() - begin;
            batch.extend(std::iter::repeat_n('.', bytes.saturating_sub(written)));
            let last = n == count;
            let _ = writeln!(batch, r#""}}]}},"append":{append},"lastChunk":{last}}}"#);
            if last || n % 64 == 0 {
                self.outbox().lines(batch.as_bytes());
                batch.clear();
                self.obey_cancel()?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, question: &str, authorize: bool) -> Result<String, Stop> {
        if let Some(answer) = self.answers.pop_front() {
            return Ok(answer);
        }
        self.state(if authorize { "auth-required" } else { "input-required" }, question);
        loop {
            match self.wait()? {
                Signal::Input(answer) => return Ok(answer),
                Signal::Reply(_) => {}
                Signal::Cancel => return Err(canceled()),
            }
        }
    }

    fn call(&mut self, call: &Value) -> Result<(), Stop> {
        let result = self.ask_host(call)?.map_err(|error| Stop::Ended("failed", error))?;
        let parts = json!([{"text": text_of_result(&result)}, {"data": result}]);
        self.event(&format!(
            r#""artifact","artifact":{{"artifactId":"result","parts":{parts}}},"append":false,"lastChunk":true"#
        ));
        Ok(())
    }

    /// Adds 1 to an entry of the memory, however many others do.
    fn count(&mut self, key: &str) -> Result<(), Stop> {
        loop {
            let known = match self.ask_host(&json!({"memory": {"op": "get", "key": key}}))? {
                Ok(entry) => entry,
                Err(error) if error.starts_with("not_found") => json!({"value": 0, "version": 0}),
                Err(error) => return Err(Stop::Ended("failed", error)),
            };
            let value = known["value"].as_u64().unwrap_or_default() + 1;
            let put = json!({"op": "put", "key": key, "value": value, "expect": known["version"]});
            match self.ask_host(&json!({ "memory": put }))? {
                Ok(_) => return Ok(()),
                Err(error) if error.starts_with("conflict") => {}
                Err(error) => return Err(Stop::Ended("failed", error)),
            }
        }
    }

    /// Makes a call and waits for its reply.
    fn ask_host(&mut self, call: &Value) -> Result<Result<Value, String>, Stop> {
        let id = self.exchange.open_call(&self.task, self.number);
        let mut line = json!({"type": "call", "id": id, "attempt": self.number});
        line["task"] = serde_json::from_str(&self.task).unwrap_or_default();
        if let (Some(line), Some(call)) = (line.as_object_mut(), call.as_object()) {
            line.extend(call.clone());
        }
        self.outbox().line(line.to_string().as_bytes());
        loop {
            match self.wait()? {
                Signal::Reply(reply) => return Ok(reply),
                Signal::Input(_) => {}
                Signal::Cancel => return Err(canceled()),
            }
        }
    }

    fn crash(&mut self, after: u32, attempts: u32) -> Result<(), Stop> {
        if self.number > attempts {
            return Ok(());
        }
        if after > 0 {
            self.chunks(after, 24)?;
            self.outbox().flush();
        }
        std::process::abort()
    }

    fn wait(&self) -> Result<Signal, Stop> {
        self.outbox().flush();
        let signals = self.signals.as_ref().ok_or(Stop::Silent)?;
        signals.recv().map_err(|_| Stop::Silent)
    }

    /// Waits that long, or until the attempt is canceled.
    fn pause(&self, time: Duration) -> Result<(), Stop> {
        self.outbox().flush();
        let Some(signals) = &self.signals else {
            thread::sleep(time);
            return Ok(());
        };
        match signals.recv_timeout(time) {
            Ok(Signal::Cancel) => Err(canceled()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Stop::Silent),
        }
    }

    fn obey_cancel(&self) -> Result<(), Stop> {
        match self.signals.as_ref().map(Receiver::try_recv) {
            Some(Ok(Signal::Cancel)) => Err(canceled()),
            Some(Err(TryRecvError::Disconnected)) => Err(Stop::Silent),
            _ => Ok(()),
        }
    }
}

fn canceled() -> Stop {
    Stop::Ended("canceled", String::new())
}
