//! Takes a worker's line to where it belongs.

use super::protocol::{FromWorker, ReplyError, ToWorker};
use super::run::{Run, Speaker};
use super::tokens::Tokens;
use crate::calls::{CallError, CallErrorCode, Calls, DiscoverCall};
use crate::context::{ContextCall, Contexts, HistoryCall, MemoryCall};
use crate::owner::{Ask, OwnerHandle};
use bytes::Bytes;
use mesh_core::lifecycle::Report;
use mesh_core::model::{Artifact, Part, TaskState};
use mesh_core::{ArtifactId, TaskId, TraceContext};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Calls that one worker process may have open at a time.
const OPEN_CALLS: usize = 512;
/// The artifact that tokens go to unless the worker names one.
const TOKEN_ARTIFACT: &str = "response";

/// Understands the lines of one process that is ready.
pub(super) struct Lines {
    pub(super) agent: String,
    pub(super) run: Arc<Run>,
    pub(super) calls: Arc<dyn Calls>,
    pub(super) contexts: Arc<Contexts>,
    pub(super) open_calls: Arc<Semaphore>,
    pub(super) max_event: usize,
    pub(super) tokens: Arc<Tokens>,
    /// The number of the last ping that was answered.
    pub(super) pong: AtomicU64,
    /// A line is being carried out.
    pub(super) busy: AtomicBool,
}

/// What can still be read of a line whose content is wrong.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    task: Option<Cow<'a, str>>,
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(default)]
    id: Option<u64>,
}

impl Lines {
    pub(super) fn new(
        agent: String,
        run: Arc<Run>,
        calls: Arc<dyn Calls>,
        contexts: Arc<Contexts>,
        max_event: usize,
        join_tokens: Duration,
    ) -> Self {
        let (open_calls, pong) = (Arc::new(Semaphore::new(OPEN_CALLS)), AtomicU64::new(0));
        let of = Arc::clone(&run);
        let speaks = move |task: &TaskId, attempt| {
            matches!(of.speaker(task.as_str(), attempt), Speaker::Current { .. })
        };
        let tokens = Tokens::new(join_tokens, speaks);
        Self {
            agent,
            run,
            calls,
            contexts,
            open_calls,
            max_event,
            tokens,
            pong,
            busy: AtomicBool::new(false),
        }
    }

    /// Carries out one line. `Err`: the line breaks the protocol, and the process has to go.
    pub(super) async fn take(&self, line: &[u8]) -> Result<(), String> {
        let parsed: FromWorker<'_> = match serde_json::from_slice(line) {
            Ok(parsed) => parsed,
            Err(error) => return self.malformed(line, &error).await,
        };
        match &*parsed.kind_of_line {
            "event" => self.event(parsed, line.len()).await,
            "call" => {
                if let (Some(task), Some(attempt)) = (parsed.task.as_deref(), parsed.attempt) {
                    self.tokens.before(&TaskId::new(task), attempt, false).await;
                }
                self.call(parsed)
            }
            "pong" => {
                self.pong.fetch_max(parsed.id.unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }
            "fatal" => {
                log_detail(&self.agent, parsed.detail.as_deref());
                Err(parsed.message.unwrap_or_else(|| "the worker gave up".to_owned()))
            }
            other => {
                tracing::warn!(
                    agent = self.agent,
                    kind = other,
                    "a worker's line of unknown type was ignored"
                );
                Ok(())
            }
        }
    }

    /// One attempt's bad part must not cost the other attempts of the process: if the line tells whose it is, only that
    /// one is failed.
    async fn malformed(&self, line: &[u8], error: &serde_json::Error) -> Result<(), String> {
        let why = format!("a line is not of the protocol: {error}");
        let Ok(line) = serde_json::from_slice::<Envelope<'_>>(line) else { return Err(why) };
        match (&*line.kind, line.task.as_deref(), line.attempt) {
            ("event", Some(task), Some(attempt)) => {
                if let Speaker::Current { owner, .. } = self.run.speaker(task, attempt) {
                    self.fail(&owner, &TaskId::new(task), attempt, &why).await;
                }
                Ok(())
            }
            ("call", ..) => self.refuse_call(line.id, &CallError::invalid(&why)),
            _ => Err(why),
        }
    }

    async fn fail(&self, owner: &OwnerHandle, task: &TaskId, attempt: u32, why: &str) {
        tracing::warn!(agent = self.agent, task = %task, attempt, why, "the attempt is failed");
        let parts = vec![Part::text(format!("the agent's worker broke its protocol: {why}"))];
        let report = Report::Finish { state: TaskState::Failed, parts };
        self.tokens.before(task, attempt, true).await;
        let _ = owner.send(Ask::Report { attempt, report, room: None }).await;
        self.run.stop(task, attempt);
    }

    async fn event(&self, mut line: FromWorker<'_>, size: usize) -> Result<(), String> {
        let (Some(task), Some(attempt)) = (line.task.take(), line.attempt) else {
            return Err("an event names no task or attempt".to_owned());
        };
        let speaker = self.run.speaker(&task, attempt);
        let task = TaskId::new(&*task);
        let terminal =
            line.kind.as_deref() == Some("state") && line.task_state().is_some_and(TaskState::is_terminal);
        if let Speaker::Current { owner, .. } = speaker {
            log_detail(&self.agent, line.detail.as_deref());
            let report = if size > self.max_event {
                Err(format!("an event of {size} bytes is over the limit (limits.event)"))
            } else {
                report(&mut line)
            };
            match report {
                Ok(report) => {
                    let room = self.run.room(size).await;
                    match report {
                        Report::Artifact { artifact, .. } if line.kind.as_deref() == Some("token") => {
                            self.tokens.token(owner, &task, attempt, artifact, room).await;
                        }
                        report => {
                            self.tokens.before(&task, attempt, terminal).await;
                            let _ = owner.send(Ask::Report { attempt, report, room }).await;
                        }
                    }
                }
                Err(why) => self.fail(&owner, &task, attempt, &why).await,
            }
        } else {
            tracing::debug!(agent = self.agent, task = %task, attempt, "an event of an attempt that is over");
        }
        if terminal {
            self.run.finish(&task, attempt);
        }
        Ok(())
    }

    fn call(&self, line: FromWorker<'_>) -> Result<(), String> {
        let (Some(id), Some(task), Some(attempt)) = (line.id, line.task.as_deref(), line.attempt) else {
            return self.refuse_call(line.id, &CallError::invalid("a call names its id, task and attempt"));
        };
        let Speaker::Current { scope, .. } = self.run.speaker(task, attempt) else {
            return self.refuse_call(Some(id), &over());
        };
        let Ok(place) = Arc::clone(&self.open_calls).try_acquire_owned() else {
            return self.refuse_call(Some(id), &CallError::busy("too many calls of this worker are open"));
        };
        let asked = match Asked::of(line) {
            Ok(asked) => asked,
            Err(why) => return self.refuse_call(Some(id), &CallError::invalid(&why)),
        };
        let (run, calls, contexts) =
            (Arc::clone(&self.run), Arc::clone(&self.calls), Arc::clone(&self.contexts));
        tokio::spawn(async move {
            let scope = super::CallScope { trace: asked.trace.unwrap_or(scope.trace), ..scope };
            let (ended, timeout) = (scope.over.clone(), asked.timeout);
            let work = async {
                match asked.what {
                    What::Tool(tool, arguments) => {
                        calls.tool(&scope, &tool, arguments.as_deref(), timeout).await
                    }
                    What::Agent(agent, parts) => calls.agent(&scope, &agent, parts, timeout).await,
                    What::Context(call) => contexts.call(&scope, &call).await,
                    What::Discover(call) => calls.discover(&scope, &call, timeout).await,
                }
            };
            let outcome = if asked.is_short {
                work.await
            } else {
                tokio::select! {
                    () = ended.cancelled() => Err(over()),
                    outcome = work => outcome,
                }
            };
            run.send(reply(id, &outcome)).await;
            // Held until here: a worker that does not read its replies gets no more calls.
            drop(place);
        });
        Ok(())
    }

    /// Answers a call that is not made. `Err`: the worker asks, and asks, and does not read the answers.
    fn refuse_call(&self, id: Option<u64>, error: &CallError) -> Result<(), String> {
        tracing::debug!(agent = self.agent, id, %error, "a call was refused");
        let Some(id) = id else { return Ok(()) };
        if self.run.try_send(reply(id, &Err(error.clone()))) {
            return Ok(());
        }
        Err("it does not read what it is told".to_owned())
    }
}

/// What a call line asks for.
pub(super) struct Asked {
    what: What,
    timeout: Option<Duration>,
    trace: Option<TraceContext>,
    /// It is carried out to its end, also when the attempt ends meanwhile: a write that has begun is not cut off.
    is_short: bool,
}

enum What {
    Tool(String, Option<Box<RawValue>>),
    Agent(String, Vec<Part>),
    Context(ContextCall),
    Discover(DiscoverCall),
}

impl Asked {
    pub(super) fn of(mut line: FromWorker<'_>) -> Result<Self, String> {
        let what = match (line.tool.take(), line.agent.take(), line.memory, line.history, line.discover) {
            (Some(tool), None, None, None, None) => What::Tool(tool, line.arguments.map(ToOwned::to_owned)),
            (None, Some(agent), None, None, None) => {
                let text = line.text.take().unwrap_or_default();
                What::Agent(agent, line.parts.take().unwrap_or_else(|| vec![Part::text(text)]))
            }
            (None, None, Some(memory), None, None) => {
                What::Context(ContextCall::Memory(MemoryCall::parse(memory)?))
            }
            (None, None, None, Some(history), None) => {
                What::Context(ContextCall::History(HistoryCall::parse(history)?))
            }
            (None, None, None, None, Some(discover)) => What::Discover(DiscoverCall::parse(discover)?),
            _ => {
                return Err(
                    "a call names one of `tool`, `agent`, `memory`, `history` and `discover`".to_owned()
                );
            }
        };
        Ok(Self {
            is_short: matches!(what, What::Context(ContextCall::Memory(_))),
            what,
            timeout: line.timeout_ms.map(Duration::from_millis),
            trace: line.traceparent.as_deref().and_then(TraceContext::parse),
        })
    }
}

fn over() -> CallError {
    CallError::new(CallErrorCode::Failed, "the attempt is over")
}

fn reply(id: u64, outcome: &Result<Box<RawValue>, CallError>) -> Bytes {
    match outcome {
        Ok(result) => ToWorker::Reply { id, result: Some(result), error: None }.encode(),
        Err(error) => {
            let error =
                ReplyError { code: error.code.as_str(), message: &error.message, actual: error.actual };
            ToWorker::Reply { id, result: None, error: Some(error) }.encode()
        }
    }
}

fn log_detail(agent: &str, detail: Option<&str>) {
    if let Some(detail) = detail {
        tracing::warn!(target: "worker", agent, "{detail}");
    }
}

/// What an event line reports.
pub(super) fn report(line: &mut FromWorker<'_>) -> Result<Report, String> {
    match line.kind.as_deref() {
        Some("status") => Ok(Report::Status(line.take_parts())),
        Some("token") => {
            let id = line.artifact_id.take().unwrap_or_else(|| TOKEN_ARTIFACT.to_owned());
            let artifact = Artifact {
                artifact_id: ArtifactId::new(id),
                name: line.name.take(),
                description: None,
                parts: line.take_parts(),
                metadata: None,
                extensions: Vec::new(),
            };
            Ok(Report::Artifact { artifact: checked(artifact)?, append: true, last_chunk: false })
        }
        Some("artifact") => {
            let artifact = checked(line.artifact.take().ok_or("an artifact event without artifact")?)?;
            let (append, last_chunk) = (line.append.unwrap_or(false), line.last_chunk.unwrap_or(false));
            Ok(Report::Artifact { artifact, append, last_chunk })
        }
        Some("state") => {
            let state = line.task_state().ok_or_else(|| format!("unknown state {:?}", line.state))?;
            let parts = line.take_parts();
            Ok(if state.is_interrupted() {
                Report::Ask { state, parts }
            } else {
                Report::Finish { state, parts }
            })
        }
        other => Err(format!("unknown kind of event {other:?}")),
    }
}

/// What every artifact must have (section 4.1.7).
fn checked(artifact: Artifact) -> Result<Artifact, String> {
    if artifact.artifact_id.as_str().is_empty() {
        return Err("an artifact without artifactId".to_owned());
    }
    if artifact.parts.is_empty() {
        return Err(format!("artifact `{}`: has no parts; it must have at least one", artifact.artifact_id));
    }
    Ok(artifact)
}
