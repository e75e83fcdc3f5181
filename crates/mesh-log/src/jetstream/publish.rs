//! Appending, and finding out what became of an append whose answer was lost.
//!
//! ```text
//!  place known? ── else the task's last message
//!       │
//!       ▼
//!  publish, expecting that message to be the last ──▶ acknowledged: recorded
//!       ▲            │ no answer, or no leader        refused: what is in our place?
//!       └── pause ◀──┘                                   ours: recorded     another's: conflict
//! ```
//!
//! An attempt can be repeated at any time: the same place is taken once.

use super::Shared;
use super::frame::{Frame, encode};
use super::index::Place;
use super::link::Pauses;
use crate::contract::{Append, AppendError, LogError, TaskHead};
use async_nats::HeaderMap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    NATS_EXPECTED_STREAM,
};
use bytes::Bytes;
use mesh_core::{Seq, TaskId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

/// What a message's headers and protocol line may add to its size.
const ENVELOPE_BYTES: usize = 4096;

/// What is kept of a message that created a task. Only the task is read; the rest is for people.
#[derive(Serialize, Deserialize)]
struct Made {
    task: TaskId,
    tenant: String,
    owner: String,
    agent: String,
    message: String,
}

/// How one attempt ended.
enum Miss {
    /// Something else is in its place, or may be it itself.
    Taken,
    /// There is no room.
    Full(String),
    /// Nothing was recorded by it, and it can be tried again.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// An append on its way.
struct Step {
    id: Uuid,
    subject: String,
    /// The message that creates the task: where that is kept, and what is kept.
    made: Option<(String, Bytes)>,
    expected: Seq,
    head: TaskHead,
    body: Bytes,
}

impl Shared {
    pub(super) async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        let deadline = Instant::now() + self.link.timeout;
        let begins = append.expected_seq == 0;
        let empty = append.events.is_empty();
        let step = self.prepare(append)?;
        if begins && empty {
            self.refusal(&step).await?;
            return Err(LogError::Failed("a task begins with at least one event".to_owned()).into());
        }
        if begins && self.index().len() >= self.max_tasks {
            let reason = format!("the log has reached its {} tasks", self.max_tasks);
            return Err(LogError::Full(reason).into());
        }
        let _creation = match &step.made {
            Some(_) => Some(self.creations.acquire().await.map_err(|_| LogError::Closed)?),
            None => None,
        };
        let mut pauses = Pauses::until(deadline);
        let mut unknown = false;
        loop {
            let before = if begins { 0 } else { self.place(&step).await? };
            let why = match self.publish(&step, before, deadline).await {
                Ok(message) => return self.recorded(step, message),
                Err(Miss::Full(why)) => return Err(LogError::Full(why).into()),
                Err(Miss::Taken) => {
                    if let Some(message) = self.resolve(&step, before).await? {
                        return self.recorded(step, message);
                    }
                    "somebody else is writing".to_owned()
                }
                Err(Miss::Refused(why)) => why,
                Err(Miss::Unknown(why)) => {
                    unknown = true;
                    why
                }
            };
            if !pauses.next().await {
                let outcome =
                    if unknown { "whether it is recorded is not known" } else { "nothing is recorded" };
                return Err(self.link.failed(&format!("an append was given up, {outcome}"), &why).into());
            }
        }
    }

    fn prepare(&self, append: Append) -> Result<Step, LogError> {
        let id = Uuid::new_v4();
        let head = append.head.clone();
        let expected = append.expected_seq;
        let names = &self.link.names;
        let made = append.creates.as_ref().filter(|_| expected == 0).map(|message| {
            let (tenant, owner, agent) = (&head.key.tenant, &head.control.owner.id, &head.control.agent);
            let made = Made {
                task: head.key.task.clone(),
                tenant: tenant.to_string(),
                owner: owner.to_string(),
                agent: agent.to_string(),
                message: message.to_string(),
            };
            (names.made(tenant, owner, agent, message), serde_json::to_vec(&made).unwrap_or_default().into())
        });
        let body = encode(id, append)?;
        let longest = self.link.client.max_payload().saturating_sub(ENVELOPE_BYTES);
        if body.len() > longest {
            return Err(LogError::Full(format!(
                "an append of {} bytes does not fit into a message of {longest}; raise max_payload of the NATS server",
                body.len()
            )));
        }
        Ok(Step { id, subject: names.task(&head.key), made, expected, head, body })
    }

    /// The message that has to be the task's last one.
    async fn place(&self, step: &Step) -> Result<u64, AppendError> {
        let known = self.index().place(&step.head.key);
        let place = match known {
            // What is known may be old, but never is ahead.
            Some(place) if place.seq >= step.expected => Some(place),
            _ => match self.link.last_frame(&step.subject).await? {
                Some((message, frame)) => {
                    let seq = frame.last();
                    self.absorb(frame.head()?, &frame, message);
                    Some(Place { seq, message })
                }
                None => None,
            },
        };
        match place {
            Some(place) if place.seq == step.expected => Ok(place.message),
            other => Err(conflict(step, other.map_or(0, |place| place.seq))),
        }
    }

    /// Finds out who took the place after `before`: the message's number if it was this append, a conflict if the task
    /// has moved on, and nothing if it can be tried again.
    async fn resolve(&self, step: &Step, before: u64) -> Result<Option<u64>, AppendError> {
        if let Some((message, frame)) = self.link.next_frame(&step.subject, before + 1).await?
            && frame.id == step.id
        {
            return Ok(Some(message));
        }
        if step.expected == 0 {
            self.refusal(step).await?;
            return Ok(None);
        }
        if let Some((message, frame)) = self.link.last_frame(&step.subject).await? {
            self.absorb(frame.head()?, &frame, message);
            if frame.last() != step.expected {
                return Err(conflict(step, frame.last()));
            }
        }
        Ok(None)
    }

    /// Why a task cannot be created: its message has made one, or there is one of its name.
    async fn refusal(&self, step: &Step) -> Result<(), AppendError> {
        if let Some((subject, _)) = &step.made
            && let Some(first) = self.made(subject).await?
        {
            return Err(AppendError::Duplicate(first));
        }
        match self.link.last_frame(&step.subject).await? {
            Some((_, frame)) => Err(conflict(step, frame.last())),
            None => Ok(()),
        }
    }

    /// The task that a message has made.
    pub(super) async fn made(&self, subject: &str) -> Result<Option<TaskId>, LogError> {
        let Some((_, json)) = self.link.last(subject).await? else { return Ok(None) };
        let made: Made = serde_json::from_slice(&json)
            .map_err(|error| self.link.failed("a created task's name", &error))?;
        Ok(Some(made.task))
    }

    fn recorded(&self, step: Step, message: u64) -> Result<Seq, AppendError> {
        let frame = Frame::decode(step.body)?;
        let seq = frame.last();
        self.absorb(step.head, &frame, message);
        Ok(seq)
    }

    async fn publish(&self, step: &Step, before: u64, deadline: Instant) -> Result<u64, Miss> {
        let link = &self.link;
        let connection = link.up(deadline).await.map_err(|error| Miss::Refused(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, before.to_string());
        headers.insert(NATS_EXPECTED_STREAM, link.stream.cached_info().config.name.as_str());
        let published = async {
            if let Some((subject, made)) = &step.made {
                // Two messages that are recorded together or not at all; each must be the first of its subject.
                headers.insert(NATS_BATCH_ID, Uuid::new_v4().simple().to_string());
                headers.insert(NATS_BATCH_SEQUENCE, "1");
                let first = link.client.publish_with_headers(subject.clone(), headers.clone(), made.clone());
                first.await.map_err(|error| Miss::Unknown(error.to_string()))?;
                headers.insert(NATS_BATCH_SEQUENCE, "2");
                headers.insert(NATS_BATCH_COMMIT, "1");
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(link.patience);
            let request = Request::new().payload(step.body.clone()).headers(headers).timeout(Some(left));
            link.client.send_request(step.subject.clone(), request).await.map_err(|error| {
                match error.kind() {
                    RequestErrorKind::NoResponders => Miss::Refused("the stream has no leader".to_owned()),
                    RequestErrorKind::MaxPayloadExceeded => Miss::Full(error.to_string()),
                    _ => Miss::Unknown(error.to_string()),
                }
            })
        };
        let answer = tokio::select! {
            answer = published => answer?,
            () = link.lost(connection) => return Err(Miss::Unknown("the connection was lost".to_owned())),
        };
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|error| Miss::Unknown(error.to_string()))?;
        match (answer.seq, answer.error) {
            (_, Some(refusal)) => Err(refusal.into()),
            (Some(message), None) => Ok(message),
            (None, None) => Err(Miss::Unknown("an answer without a number".to_owned())),
        }
    }
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        let Refusal { err_code, description } = refusal;
        let why = format!("{description} ({err_code})");
        match err_code {
            // Wrong last sequence; and somebody's batch for the same subject is being recorded.
            10071 | 10164 => Self::Taken,
            // Resources of the account, the server or the stream; a message that is too large.
            10002 | 10023 | 10028 | 10047 | 10054 | 10077 => Self::Full(why),
            _ => Self::Refused(why),
        }
    }
}

fn conflict(step: &Step, actual: Seq) -> AppendError {
    AppendError::Conflict { expected: step.expected, actual }
}
