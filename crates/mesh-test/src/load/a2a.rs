//! Tasks over A2A 1.0 JSON-RPC.

use super::connection::{Connection, Target, begin, whole_body};
use super::drive::Sample;
use super::sse::SseReader;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// How a task is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum A2aMode {
    /// `SendMessage`, answered when the task has ended.
    Blocking,
    /// `SendStreamingMessage`.
    Stream,
}

/// Tasks to send.
#[derive(Clone, Debug)]
pub struct A2aCalls {
    /// The JSON-RPC address.
    pub url: String,
    /// More headers, `Name: value`.
    pub headers: Vec<String>,
    /// How.
    pub mode: A2aMode,
    /// The text of each message.
    pub text: String,
    /// How many parts all artifacts of a task must have; `None` checks only that it completed.
    pub chunks: Option<u64>,
}

/// The calls of one run; message ids are unique across its connections and across runs.
pub(super) struct A2aClient {
    target: Target,
    mode: A2aMode,
    chunks: Option<u64>,
    text: String,
    run: String,
    next: AtomicU64,
}

impl A2aClient {
    pub(super) fn new(calls: &A2aCalls) -> Result<Self, String> {
        let accept = if calls.mode == A2aMode::Stream { "text/event-stream" } else { "application/json" };
        Ok(Self {
            target: Target::new(&calls.url, &calls.headers)?
                .with("a2a-version", "1.0")?
                .with("accept", accept)?,
            mode: calls.mode,
            chunks: calls.chunks,
            text: serde_json::to_string(&calls.text).unwrap_or_default(),
            run: uuid::Uuid::now_v7().simple().to_string(),
            next: AtomicU64::new(1),
        })
    }

    pub(super) async fn call(&self, connection: &mut Connection) -> Result<Sample, String> {
        let start = Instant::now();
        let response = connection.post(&self.target, self.request()).await?;
        match self.mode {
            A2aMode::Blocking => {
                let body = whole_body(response).await?;
                self.check(&Seen::default().take(&body)?)?;
                Ok(Sample { latency: start.elapsed(), first_event: None, events: 0 })
            }
            A2aMode::Stream => {
                let is_stream = response
                    .headers()
                    .get("content-type")
                    .is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
                if !is_stream {
                    let body = whole_body(response).await?;
                    return Err(format!("not an event stream: {}", begin(&body)));
                }
                let mut body = response.into_body();
                let (mut reader, mut seen, mut events, mut first_event) =
                    (SseReader::default(), Seen::default(), 0, None);
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(|e| format!("stream: {e}"))?;
                    reader.push(frame.data_ref().map_or(&[], |data| data.as_ref()));
                    while let Some(event) = reader.next_event() {
                        first_event.get_or_insert_with(|| start.elapsed());
                        events += 1;
                        seen = seen.take(&event)?;
                    }
                }
                self.check(&seen)?;
                if !seen.worked {
                    return Err("the stream did not say that the task works".into());
                }
                Ok(Sample { latency: start.elapsed(), first_event, events })
            }
        }
    }

    fn request(&self) -> Bytes {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let method = match self.mode {
            A2aMode::Blocking => "SendMessage",
            A2aMode::Stream => "SendStreamingMessage",
        };
        let Self { run, text, .. } = self;
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"message":{{"messageId":"{run}-{id}","role":"ROLE_USER","parts":[{{"text":{text}}}]}}}}}}"#
        ))
    }

    fn check(&self, seen: &Seen) -> Result<(), String> {
        if seen.state != "TASK_STATE_COMPLETED" {
            return Err(format!("the task ended as {:?}", seen.state));
        }
        match self.chunks {
            Some(expected) if expected != seen.chunks => {
                Err(format!("{} chunks instead of {expected}", seen.chunks))
            }
            _ => Ok(()),
        }
    }
}

/// What the answers so far say of the task.
#[derive(Default)]
struct Seen {
    state: String,
    worked: bool,
    chunks: u64,
}

impl Seen {
    /// Takes the next answer in. Nothing may follow a final state, and chunks come in their order.
    fn take(mut self, answer: &[u8]) -> Result<Self, String> {
        let answer: Answer<'_> =
            serde_json::from_slice(answer).map_err(|e| format!("{e}: {}", begin(answer)))?;
        let result = match (answer.result, answer.error) {
            (Some(result), None) => result,
            (_, error) => return Err(json!({"error": error}).to_string()),
        };
        if matches!(&*self.state, "TASK_STATE_COMPLETED" | "TASK_STATE_FAILED") {
            return Err(format!("an event after {}", self.state));
        }
        if let Some(task) = result.task {
            self.turn(&task.status.state);
            self.chunks = 0;
            task.artifacts.iter().try_for_each(|artifact| self.parts(artifact))?;
        }
        if let Some(update) = result.status_update {
            self.turn(&update.status.state);
        }
        if let Some(update) = result.artifact_update {
            if update.append != (self.chunks > 0) {
                return Err(format!("append is {} after {} chunks", update.append, self.chunks));
            }
            self.parts(&update.artifact)?;
        }
        Ok(self)
    }

    fn turn(&mut self, state: &str) {
        state.clone_into(&mut self.state);
        self.worked |= state == "TASK_STATE_WORKING";
    }

    /// The text of the agents' chunks begins with `chunk` and their number.
    fn parts(&mut self, artifact: &ArtifactView<'_>) -> Result<(), String> {
        for part in &artifact.parts {
            self.chunks += 1;
            let number = part.text.strip_prefix("chunk ").and_then(|rest| rest.split(' ').next());
            if number.is_some_and(|number| number.parse() != Ok(self.chunks)) {
                return Err(format!("chunk {} is `{}`", self.chunks, part.text));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<Outcome<'a>>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(borrow)]
    task: Option<TaskView<'a>>,
    #[serde(borrow)]
    status_update: Option<StatusUpdateView<'a>>,
    #[serde(borrow)]
    artifact_update: Option<ArtifactUpdateView<'a>>,
}

#[derive(Deserialize)]
struct TaskView<'a> {
    #[serde(borrow)]
    status: StatusView<'a>,
    #[serde(borrow, default)]
    artifacts: Vec<ArtifactView<'a>>,
}

#[derive(Deserialize)]
struct StatusUpdateView<'a> {
    #[serde(borrow)]
    status: StatusView<'a>,
}

#[derive(Deserialize)]
struct StatusView<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ArtifactUpdateView<'a> {
    #[serde(borrow)]
    artifact: ArtifactView<'a>,
    #[serde(default)]
    append: bool,
}

#[derive(Deserialize)]
struct ArtifactView<'a> {
    #[serde(borrow, default)]
    parts: Vec<PartView<'a>>,
}

#[derive(Deserialize)]
struct PartView<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str) -> String {
        json!({"result": {"statusUpdate": {"status": {"state": state}}}}).to_string()
    }

    fn chunk(number: u64, append: bool) -> String {
        let parts = json!([{"text": format!("chunk {number} of 10 ....")}]);
        json!({"result": {"artifactUpdate": {"artifact": {"parts": parts}, "append": append}}}).to_string()
    }

    fn take(answers: &[String]) -> Result<Seen, String> {
        answers.iter().try_fold(Seen::default(), |seen, answer| seen.take(answer.as_bytes()))
    }

    #[test]
    fn a_stream_is_right_only_if_its_chunks_come_in_order_and_nothing_follows_its_end() {
        let (working, completed) = (status("TASK_STATE_WORKING"), status("TASK_STATE_COMPLETED"));
        let seen = take(&[working.clone(), chunk(1, false), chunk(2, true), completed.clone()]).unwrap();
        assert_eq!((&*seen.state, seen.worked, seen.chunks), ("TASK_STATE_COMPLETED", true, 2));
        assert!(take(&[working.clone(), chunk(1, false), chunk(3, true)]).is_err());
        assert!(take(&[working.clone(), chunk(1, false), chunk(2, false)]).is_err());
        assert!(take(&[working, chunk(1, true)]).is_err());
        assert!(take(&[completed, chunk(1, false)]).is_err());
    }

    #[test]
    fn a_task_counts_the_parts_of_all_its_artifacts() {
        let artifact = |text: &str| json!({"parts": [{"text": text}, {"data": {}}]});
        let artifacts = json!([artifact("chunk 1 of 9"), artifact("else")]);
        let task = json!({"result": {"task": {"status": {"state": "x"}, "artifacts": artifacts}}});
        assert_eq!(take(&[task.to_string()]).unwrap().chunks, 4);
    }
}
