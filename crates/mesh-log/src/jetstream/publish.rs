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
use super::frame::{Frame, Kind, encode};
use super::index::Place;
use super::link::Pauses;
use super::names::{self, NO_ORIGIN};
use crate::contract::{Append, AppendError, LogError, TaskHead};
use async_nats::HeaderMap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_EXPECTED_STREAM};
use bytes::Bytes;
use mesh_core::{Seq, TaskId};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

/// What a message's headers and protocol line may add to its size.
const ENVELOPE_BYTES: usize = 4096;
/// The header that says which subject the expected sequence is of, if it is not the message's own.
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// How one attempt ended.
pub(super) enum Miss {
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
    /// What creates the task, if this is its creation by a message.
    origin: Option<String>,
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
        if begins && self.at_limit() {
            self.refusal(&step).await?;
            let reason = format!("the log has reached its {} tasks", self.max_tasks);
            return Err(LogError::Full(reason).into());
        }
        let known = self.index().place(&step.head.key);
        if begins && known.is_some() {
            self.refusal(&step).await?;
        }
        let mut pauses = Pauses::until(deadline);
        let mut unknown = false;
        // The message that a new task comes after: of one that was removed, if there was one.
        let mut vacant = 0;
        // The place that it may have taken already.
        let mut doubt: Option<(Box<str>, u64)> = None;
        loop {
            let placed = if begins {
                Ok((step.origin.as_deref().unwrap_or(NO_ORIGIN).into(), vacant))
            } else {
                self.place(&step).await
            };
            // What moved the task on may be this append: its message can be heard of before its answer is missed.
            if let Some((origin, before)) = &doubt
                && placed.as_ref().map_or(true, |(_, now)| now != before)
            {
                match self.resolve(&step, origin, *before).await? {
                    Some(message) => return self.recorded(step, origin, message),
                    None if placed.is_err() && pauses.next().await => continue,
                    // Only the head was written by somebody else, or there is no time left.
                    None => {}
                }
            }
            let (origin, before) = placed?;
            doubt = Some((origin.clone(), before));
            let subject = self.link.names.task(&step.head.key, &origin);
            let why = match self.publish(&step, &subject, before, deadline).await {
                Ok(message) => return self.recorded(step, &origin, message),
                Err(Miss::Full(why)) => return Err(LogError::Full(why).into()),
                Err(Miss::Taken) => {
                    if let Some(message) = self.resolve(&step, &origin, before).await? {
                        return self.recorded(step, &origin, message);
                    }
                    if begins {
                        vacant = self.vacancy(&step, &subject).await?;
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

    fn at_limit(&self) -> bool {
        self.index().len() >= self.max_tasks
    }

    fn prepare(&self, append: Append) -> Result<Step, LogError> {
        let id = Uuid::new_v4();
        let head = append.head.clone();
        let expected = append.expected_seq;
        let message = append.creates.as_ref().filter(|_| expected == 0);
        let origin =
            message.map(|message| names::origin(&head.control.owner.id, &head.control.agent, message));
        let body = encode(id, append)?;
        let longest = self.longest();
        if body.len() > longest {
            return Err(LogError::Full(format!(
                "an append of {} bytes does not fit into a message of {longest}; raise max_payload of the NATS server",
                body.len()
            )));
        }
        Ok(Step { id, origin, expected, head, body })
    }

    /// Bytes that fit into a message.
    pub(super) fn longest(&self) -> usize {
        self.link.client.max_payload().saturating_sub(ENVELOPE_BYTES)
    }

    /// The task's origin, and the message that has to be its last one.
    async fn place(&self, step: &Step) -> Result<(Box<str>, u64), AppendError> {
        let key = &step.head.key;
        let Some(origin) = self.origin(key).await? else { return Err(conflict(step, 0)) };
        let known = self.index().place(key);
        let place = match known {
            // What is known may be old, but never is ahead.
            Some(place) if place.seq >= step.expected => Some(place),
            _ => self.look(step, &origin).await?,
        };
        match place {
            Some(place) if place.seq == step.expected => match self.index().trimmed(key) {
                Some(Place { seq: first, .. }) => Err(LogError::Trimmed { first }.into()),
                None => Ok((origin, place.message)),
            },
            other => Err(conflict(step, other.map_or(0, |place| place.seq))),
        }
    }

    /// Where the task is, as the server knows it.
    async fn look(&self, step: &Step, origin: &str) -> Result<Option<Place>, LogError> {
        let subject = self.link.names.task(&step.head.key, origin);
        let Some((message, frame)) = self.link.last_frame(&subject).await? else { return Ok(None) };
        self.absorb(origin, &frame, message)?;
        Ok((frame.kind != Kind::Removed).then(|| Place { seq: frame.last(), message }))
    }

    /// The last message of what a new task comes after, if it says that a task was removed.
    async fn vacancy(&self, step: &Step, subject: &str) -> Result<u64, LogError> {
        let made = step.origin.as_ref().map(|origin| self.link.names.made(&step.head.key.tenant, origin));
        let last = self.link.last_frame(made.as_deref().unwrap_or(subject)).await?;
        Ok(last.filter(|(_, frame)| frame.kind == Kind::Removed).map_or(0, |(message, _)| message))
    }

    /// Finds out who took the place after `before`: the message's number if it was this append, a conflict if the task
    /// has moved on, and nothing if it can be tried again.
    ///
    /// First whether it has moved, then by whom: between two questions a new leader may come to know more, and what this
    /// append itself did must not look like another's.
    async fn resolve(&self, step: &Step, origin: &str, before: u64) -> Result<Option<u64>, AppendError> {
        let own = &step.head.key.task;
        let moved = match self.moved(step, origin).await {
            Err(AppendError::Duplicate(first)) if first != *own => return Err(AppendError::Duplicate(first)),
            Err(AppendError::Log(error)) => return Err(error.into()),
            other => other,
        };
        let subject = self.link.names.task(&step.head.key, origin);
        match (self.link.next_frame(&subject, before + 1).await?, moved) {
            (Some((message, frame)), _) if frame.id == step.id => Ok(Some(message)),
            (Some(_), Err(moved)) => Err(moved),
            // Made by another origin. Anything else contradicts itself, and is asked again.
            (None, Err(moved @ AppendError::Conflict { .. })) if step.expected == 0 => Err(moved),
            _ => Ok(None),
        }
    }

    /// An error if the task is not where this append expects it.
    async fn moved(&self, step: &Step, origin: &str) -> Result<(), AppendError> {
        if step.expected == 0 {
            return self.refusal(step).await;
        }
        match self.look(step, origin).await? {
            Some(place) if place.seq != step.expected => Err(conflict(step, place.seq)),
            _ => Ok(()),
        }
    }

    /// Why a task cannot be created: its message has made one, or there is one of its name.
    async fn refusal(&self, step: &Step) -> Result<(), AppendError> {
        let key = &step.head.key;
        if let Some(origin) = &step.origin
            && let Some(first) = self.made(&self.link.names.made(&key.tenant, origin)).await?
        {
            return Err(AppendError::Duplicate(first));
        }
        match self.last(key).await? {
            Some(frame) => Err(conflict(step, frame.last())),
            None => Ok(()),
        }
    }

    /// The task whose appends have these subjects: those of one origin.
    pub(super) async fn made(&self, subjects: &str) -> Result<Option<TaskId>, LogError> {
        let frame = self.link.last_frame(subjects).await?;
        let there = frame.filter(|(_, frame)| frame.kind != Kind::Removed);
        there.map(|(_, frame)| Ok(frame.key()?.task)).transpose()
    }

    fn recorded(&self, step: Step, origin: &str, message: u64) -> Result<Seq, AppendError> {
        let frame = Frame::decode(step.body)?;
        self.absorb(origin, &frame, message)?;
        Ok(frame.last())
    }

    async fn publish(&self, step: &Step, subject: &str, before: u64, deadline: Instant) -> Result<u64, Miss> {
        let mut headers = HeaderMap::new();
        if let Some(origin) = &step.origin {
            headers.insert(EXPECTED_SUBJECT, self.link.names.made(&step.head.key.tenant, origin));
        }
        self.send(subject, step.body.clone(), before, headers, deadline).await
    }

    /// One attempt to publish a message that is to come after `before`; its number.
    pub(super) async fn send(
        &self,
        subject: &str,
        body: Bytes,
        before: u64,
        mut headers: HeaderMap,
        deadline: Instant,
    ) -> Result<u64, Miss> {
        let link = &self.link;
        let connection = link.up(deadline).await.map_err(|error| Miss::Refused(error.to_string()))?;
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, before.to_string());
        headers.insert(NATS_EXPECTED_STREAM, link.stream.cached_info().config.name.as_str());
        let left = deadline.saturating_duration_since(Instant::now()).min(link.patience);
        let request = Request::new().payload(body).headers(headers).timeout(Some(left));
        let published = async {
            link.client.send_request(subject.to_owned(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Miss::Refused("the stream has no leader".to_owned()),
                RequestErrorKind::MaxPayloadExceeded => Miss::Full(error.to_string()),
                _ => Miss::Unknown(error.to_string()),
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
            // Wrong last sequence.
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
