//! Reading frames: the last of a task, the next one after a position, and many at once.

use super::frame::{Frame, Kind};
use super::link::{Link, Pauses};
use crate::contract::LogError;
use async_nats::StatusCode;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind};
use bytes::Bytes;
use futures_util::StreamExt;
use mesh_core::Seq;
use std::fmt::Display;
use tokio::time::{Instant, timeout};

/// A message of the stream: its number there, and its content.
pub(super) type Message = (u64, Bytes);

/// How much is asked for at once.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

enum Miss {
    /// There is none.
    Nothing,
    /// It may be answered when asked again.
    Again(String),
}

/// Which message of a subject.
#[derive(Clone, Copy)]
enum Which {
    Last,
    From(u64),
}

impl Link {
    /// The last message of a subject.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Message>, LogError> {
        self.get(subject, Which::Last).await
    }

    /// The first message of a subject at or after a number.
    pub(super) async fn next(&self, subject: &str, from: u64) -> Result<Option<Message>, LogError> {
        self.get(subject, Which::From(from)).await
    }

    /// The last frame of a task.
    pub(super) async fn last_frame(&self, subject: &str) -> Result<Option<(u64, Frame)>, LogError> {
        decode(self.last(subject).await?)
    }

    /// The first frame of a task at or after a number.
    pub(super) async fn next_frame(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, Frame)>, LogError> {
        decode(self.next(subject, from).await?)
    }

    async fn get(&self, subject: &str, which: Which) -> Result<Option<Message>, LogError> {
        let deadline = Instant::now() + self.timeout;
        let mut pauses = Pauses::until(deadline);
        loop {
            let connection = self.up(deadline).await?;
            let answer = async {
                if self.copies {
                    self.get_from_leader(subject, which).await
                } else {
                    self.get_directly(subject, which).await
                }
            };
            let outcome = tokio::select! {
                outcome = answer => outcome,
                () = self.lost(connection) => Err(Miss::Again("the connection was lost".to_owned())),
            };
            match outcome {
                Ok(message) => return Ok(Some(message)),
                Err(Miss::Nothing) => return Ok(None),
                Err(Miss::Again(why)) => {
                    if !pauses.next().await {
                        return Err(self.failed("reading", &why));
                    }
                }
            }
        }
    }

    async fn get_directly(&self, subject: &str, which: Which) -> Result<Message, Miss> {
        let request = self.stream.direct_get_builder();
        let request = match which {
            Which::Last => request.last_by_subject(subject),
            Which::From(number) => request.next_by_subject(subject).sequence(number.max(1)),
        };
        let message = request.send().await.map_err(|error| match error.kind() {
            DirectGetErrorKind::NotFound => Miss::Nothing,
            _ => again(&error),
        })?;
        Ok((message.sequence, message.payload))
    }

    async fn get_from_leader(&self, subject: &str, which: Which) -> Result<Message, Miss> {
        let request = self.stream.raw_message_builder();
        let request = match which {
            Which::Last => request.last_by_subject(subject),
            Which::From(number) => request.next_by_subject(subject).sequence(number.max(1)),
        };
        let message = request.send().await.map_err(|error| match error.kind() {
            RawMessageErrorKind::NoMessageFound => Miss::Nothing,
            _ => again(&error),
        })?;
        Ok((message.sequence, message.payload))
    }

    /// The frames of a task at or after a number, in order: at least one if there is one, and not more than about so
    /// many events and bytes.
    pub(super) async fn frames(
        &self,
        subject: &str,
        from: u64,
        events: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Frame)>, LogError> {
        let deadline = Instant::now() + self.timeout;
        let mut pauses = Pauses::until(deadline);
        let messages = loop {
            let connection = self.up(deadline).await?;
            let outcome = tokio::select! {
                outcome = timeout(self.patience, self.batch(subject, from, events, bytes)) => {
                    outcome.unwrap_or_else(|_| Err(Miss::Again("no answer in time".to_owned())))
                }
                () = self.lost(connection) => Err(Miss::Again("the connection was lost".to_owned())),
            };
            match outcome {
                Ok(messages) => break messages,
                Err(Miss::Nothing) => break Vec::new(),
                Err(Miss::Again(why)) => {
                    if !pauses.next().await {
                        return Err(self.failed("reading", &why));
                    }
                }
            }
        };
        if messages.is_empty() && self.copies {
            // A copy answered, and may lag.
            return Ok(self.next_frame(subject, from).await?.into_iter().collect());
        }
        messages.into_iter().map(|(number, bytes)| Ok((number, Frame::decode(bytes)?))).collect()
    }

    async fn batch(
        &self,
        subject: &str,
        from: u64,
        events: usize,
        bytes: usize,
    ) -> Result<Vec<Message>, Miss> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| again(&error))?;
        let request = serde_json::json!({
            "seq": from.max(1),
            "next_by_subj": subject,
            "batch": events.clamp(1, BATCH),
            "max_bytes": bytes.clamp(1, BATCH_BYTES),
        });
        let api = format!("$JS.API.DIRECT.GET.{}", self.stream.cached_info().config.name);
        let published = self.client.publish_with_reply(api, inbox, request.to_string().into()).await;
        published.map_err(|error| again(&error))?;
        let mut messages: Vec<Message> = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.status {
                None => {}
                Some(StatusCode::NOT_FOUND) if messages.is_empty() => return Err(Miss::Nothing),
                Some(status) if status.as_u16() == 204 => return Ok(messages),
                // What was cut off is read when it is asked for.
                Some(_) if !messages.is_empty() => return Ok(messages),
                Some(status) => return Err(again(&status)),
            }
            let number = answer
                .headers
                .as_ref()
                .and_then(|headers| headers.get(async_nats::header::NATS_SEQUENCE))
                .and_then(|number| number.as_str().parse().ok())
                .ok_or_else(|| again(&"an answer has no number"))?;
            messages.push((number, answer.payload));
        }
        Err(again(&"the connection was closed"))
    }

    /// The number of a message at which reading the events after `after` can begin, or `None` if there are no such
    /// events. Halves the stream until it is found: a task's frames are in order, but where is not written anywhere.
    pub(super) async fn find(&self, subject: &str, after: Seq) -> Result<Option<u64>, LogError> {
        if after == 0 {
            // Also of a trimmed task: its snapshot is its first message.
            return Ok(Some(1));
        }
        let Some((mut high, last)) = self.last_frame(subject).await? else { return Ok(None) };
        if last.last() <= after {
            return Ok(None);
        }
        // Before a snapshot there is nothing that counts.
        if last.after <= after || last.kind == Kind::Snapshot {
            return Ok(Some(high));
        }
        // Frames at or after `high` begin beyond the wanted event; those before `low` do not end beyond it.
        let mut low = 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_frame(subject, middle).await? {
                Some((number, frame)) if frame.last() <= after => low = number + 1,
                Some((number, frame)) if frame.after <= after => return Ok(Some(number)),
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }
}

fn again(error: &dyn Display) -> Miss {
    Miss::Again(error.to_string())
}

fn decode(message: Option<Message>) -> Result<Option<(u64, Frame)>, LogError> {
    message.map(|(number, bytes)| Ok((number, Frame::decode(bytes)?))).transpose()
}
