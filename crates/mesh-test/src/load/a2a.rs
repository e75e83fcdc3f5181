//! Tasks over A2A 1.0 JSON-RPC.

use super::connection::{Connection, Target, begin, whole_body};
use super::drive::Sample;
use super::sse::SseReader;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
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
    chunks: u64,
}

impl Seen {
    fn take(mut self, answer: &[u8]) -> Result<Self, String> {
        let answer: Answer<'_> =
            serde_json::from_slice(answer).map_err(|e| format!("{e}: {}", begin(answer)))?;
        let result = match (answer.result, answer.error) {
            (Some(result), None) => result,
            (_, error) => return Err(json!({"error": error}).to_string()),
        };
        if let Some(task) = result.task {
            self.state = task.status.state.into_owned();
            self.chunks = task.artifacts.iter().map(|artifact| artifact.parts.len() as u64).sum();
        }
        if let Some(update) = result.status_update {
            self.state = update.status.state.into_owned();
        }
        if let Some(update) = result.artifact_update {
            self.chunks += update.artifact.parts.len() as u64;
        }
        Ok(self)
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
    artifact_update: Option<ArtifactUpdateView>,
}

#[derive(Deserialize)]
struct TaskView<'a> {
    #[serde(borrow)]
    status: StatusView<'a>,
    #[serde(default)]
    artifacts: Vec<ArtifactView>,
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
struct ArtifactUpdateView {
    artifact: ArtifactView,
}

#[derive(Deserialize)]
struct ArtifactView {
    #[serde(default)]
    parts: Vec<IgnoredAny>,
}
