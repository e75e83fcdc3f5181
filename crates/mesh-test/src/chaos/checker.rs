//! Reads what the clients wrote down, against what the log says in the end.
//!
//! What holds of every task: its events are numbered 1, 2, 3 …; it has ended or waits for its client; every client saw a
//! beginning of exactly this list, with the same bytes; attempts are numbered upwards, and nothing of an attempt comes after
//! its loss or after the next one began; what an attempt says is whole and in order. And every message made one task.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Events with their numbers, in the order in which they came.
pub(super) type Events = Vec<(u64, Bytes)>;

/// What came of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// Its id.
    pub(super) message: String,
    /// The pieces that an attempt tells before it completes.
    pub(super) pieces: u64,
    /// Every task that any answer to it named.
    pub(super) tasks: BTreeSet<String>,
    /// What each of its clients saw over all its connections, with the client's name.
    pub(super) transcripts: Vec<(String, Events)>,
    /// Which clients ended their work before the patience was over.
    pub(super) done: bool,
}

/// What one host says in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// The events of every task.
    pub(super) logs: BTreeMap<String, Events>,
    /// The tasks that it lists.
    pub(super) listed: BTreeSet<String>,
}

/// What was counted in the logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) events: u64,
    pub(super) attempts: u64,
    /// Tasks by their last state.
    pub(super) states: BTreeMap<String, u64>,
    /// Attempts that were not brought to an end, by the reason that the log gives.
    pub(super) losses: BTreeMap<String, u64>,
}

/// Everything that is wrong, and the count.
pub(super) fn check(jobs: &[Job], tellings: &[Telling]) -> (Vec<String>, Count) {
    let (mut wrong, mut count) = (Vec::new(), Count::default());
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let Some((first, others)) = tellings.split_first() else {
        return (vec!["no log was read".into()], count);
    };
    for job in jobs {
        let mut complain = |what: String| wrong.push(format!("message {}: {what}", job.message));
        if !job.done {
            complain("its clients did not come to an end".to_owned());
        }
        if job.tasks.len() != 1 {
            complain(format!("it made {} tasks: {:?}", job.tasks.len(), job.tasks));
        }
        for task in &job.tasks {
            if let Some(other) = owners.insert(task, &job.message) {
                complain(format!("task {task} is also that of message {other}"));
            }
            let Some(log) = first.logs.get(task) else {
                complain(format!("task {task} is not in the log"));
                continue;
            };
            for what in check_log(log, job.pieces, &mut count) {
                complain(format!("task {task}: {what}"));
            }
            for (client, seen) in &job.transcripts {
                if let Some(what) = check_transcript(seen, log) {
                    complain(format!("task {task}: {client}: {what}"));
                }
            }
        }
    }
    let expected: BTreeSet<&str> = owners.keys().copied().collect();
    for (host, telling) in tellings.iter().enumerate() {
        let listed: BTreeSet<&str> = telling.listed.iter().map(String::as_str).collect();
        for task in expected.symmetric_difference(&listed) {
            let what = if listed.contains(task) { "which nobody was answered" } else { "in no list" };
            wrong.push(format!("host {host}: task {task}, {what}"));
        }
    }
    for (host, other) in others.iter().enumerate() {
        for (task, log) in &first.logs {
            if other.logs.get(task) != Some(log) {
                wrong.push(format!("task {task}: host {} tells another log than host 0", host + 1));
            }
        }
    }
    (wrong, count)
}

/// Numbers from 1 without gap or repeat, and the bytes of the log.
fn check_transcript(seen: &Events, log: &Events) -> Option<String> {
    for (at, (seq, bytes)) in seen.iter().enumerate() {
        let expected = at as u64 + 1;
        if *seq != expected {
            return Some(format!("saw event {seq} where {expected} was due"));
        }
        match log.get(at) {
            None => return Some(format!("saw event {seq}, and the log ends with {}", log.len())),
            Some((_, logged)) if logged != bytes => {
                let (seen, logged) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(logged));
                return Some(format!("saw event {seq} as {seen}, and the log has {logged}"));
            }
            Some(_) => {}
        }
    }
    None
}

/// The part of an event that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(default)]
    task: Option<Value>,
    #[serde(default)]
    status_update: Option<StatusView>,
    #[serde(default)]
    artifact_update: Option<ArtifactView>,
}

#[derive(Deserialize)]
struct StatusView {
    status: StateView,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
struct StateView {
    state: String,
}

#[derive(Deserialize)]
struct ArtifactView {
    artifact: PartsView,
}

#[derive(Deserialize)]
struct PartsView {
    parts: Vec<Value>,
}

/// The state that an event brings, without its prefix; `None` for an artifact or the beginning.
pub(super) fn state(event: &[u8]) -> Option<String> {
    let view: View = serde_json::from_slice(event).ok()?;
    let state = view.status_update?.status.state;
    Some(state.trim_start_matches("TASK_STATE_").to_lowercase())
}

pub(super) fn is_final(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "canceled" | "rejected")
}

/// Where a task is while its log is read.
struct Reading {
    state: String,
    attempt: u64,
    /// The attempt is at work.
    alive: bool,
    told: u64,
}

fn check_log(log: &Events, pieces: u64, count: &mut Count) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut at = Reading { state: "submitted".to_owned(), attempt: 0, alive: false, told: 0 };
    for ((seq, bytes), due) in log.iter().zip(1..) {
        if *seq != due {
            wrong.push(format!("event {seq} is where {due} is due"));
            return wrong;
        }
        let read = serde_json::from_slice::<View>(bytes).map_err(|error| error.to_string());
        if let Err(what) = read.and_then(|view| at.read(view, due, pieces, count)) {
            wrong.push(format!("event {seq}: {what}"));
        }
    }
    count.events += log.len() as u64;
    *count.states.entry(at.state.clone()).or_default() += 1;
    if !is_final(&at.state) && !matches!(&*at.state, "input_required" | "auth_required") {
        wrong.push(format!("it stays {} after {} events", at.state, log.len()));
    }
    wrong
}

impl Reading {
    fn read(&mut self, view: View, seq: u64, pieces: u64, count: &mut Count) -> Result<(), String> {
        if is_final(&self.state) {
            return Err(format!("something happens to a task that is {}", self.state));
        }
        match (view.task, view.status_update, view.artifact_update) {
            (Some(_), None, None) if seq == 1 => Ok(()),
            (None, Some(update), None) if seq > 1 => self.status(update, pieces, count),
            (None, None, Some(update)) if seq > 1 => self.artifact(&update),
            _ => Err("it does not belong here".to_owned()),
        }
    }

    fn status(&mut self, update: StatusView, pieces: u64, count: &mut Count) -> Result<(), String> {
        self.state = update.status.state.trim_start_matches("TASK_STATE_").to_lowercase();
        let over = ["agentmesh/attemptLost", "agentmesh/attemptReleased"];
        let reason = over.iter().find_map(|key| update.metadata.get(*key)).and_then(Value::as_str);
        let attempt = update.metadata.get("agentmesh/attempt").and_then(Value::as_u64);
        match (attempt, reason) {
            (Some(attempt), Some(reason)) => {
                *count.losses.entry(reason.to_owned()).or_default() += 1;
                let was_alive = std::mem::take(&mut self.alive);
                if !was_alive || attempt != self.attempt {
                    return Err(format!("attempt {attempt} is lost, and the last was {}", self.attempt));
                }
            }
            (Some(attempt), None) => {
                count.attempts += 1;
                let last = std::mem::replace(&mut self.attempt, attempt);
                (self.alive, self.told) = (true, 0);
                if attempt <= last {
                    return Err(format!("attempt {attempt} begins after attempt {last}"));
                }
            }
            (None, _) if self.state == "completed" => {
                if !self.alive || self.told != pieces {
                    return Err(format!("completed after {} of {pieces} pieces", self.told));
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn artifact(&mut self, update: &ArtifactView) -> Result<(), String> {
        if !self.alive {
            return Err(format!("a word of attempt {}, which is over", self.attempt));
        }
        for text in update.artifact.parts.iter().filter_map(|part| part["text"].as_str()) {
            let Some((attempt, piece)) = piece(text) else { continue };
            if attempt != self.attempt {
                return Err(format!("a word of attempt {attempt} in attempt {}", self.attempt));
            }
            if piece != self.told + 1 {
                return Err(format!("piece {piece} after piece {}", self.told));
            }
            self.told = piece;
        }
        Ok(())
    }
}

/// `attempt 2 piece 7; ` of the worker's step `tell`.
fn piece(text: &str) -> Option<(u64, u64)> {
    let (attempt, piece) = text.strip_prefix("attempt ")?.split_once(" piece ")?;
    Some((attempt.parse().ok()?, piece.trim_end_matches("; ").parse().ok()?))
}

#[cfg(test)]
#[path = "checker/tests.rs"]
mod tests;
