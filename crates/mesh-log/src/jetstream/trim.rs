//! Trimming and removing tasks: one message that takes the place of all others of its subject.
//!
//! The server stores it only if the task's last message is the one that was looked at, and takes the others away with it
//! (`Nats-Rollup`), so there is nothing to be finished after a crash. What says that a task was removed stays until every
//! process has heard of it, and goes by itself.

use super::Shared;
use super::frame::{Frame, Kind, encode_trim};
use super::link::Pauses;
use super::publish::Miss;
use crate::contract::{LogError, Trim};
use async_nats::HeaderMap;
use async_nats::header::{NATS_MESSAGE_TTL, NATS_ROLLUP};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use mesh_core::TaskKey;
use tokio::time::Instant;
use uuid::Uuid;

/// How long it can be heard that a task was removed. A process that was cut off for longer finds it out when it looks for
/// the task.
const REMEMBERED: &str = "1h";
/// Tasks that are worked on at the same time.
const AT_ONCE: usize = 16;

impl Shared {
    /// Trims or removes tasks; returns those that it changed.
    pub(super) async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError> {
        let changed = stream::iter(tasks).map(|task| async move {
            let changed = self.trim_one(&task).await?;
            Ok::<_, LogError>(changed.then_some(task.key))
        });
        let changed: Vec<Option<TaskKey>> = changed.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(changed.into_iter().flatten().collect())
    }

    async fn trim_one(&self, task: &Trim) -> Result<bool, LogError> {
        let deadline = Instant::now() + self.link.timeout;
        let mut pauses = Pauses::until(deadline);
        let Some(origin) = self.origin(&task.key).await? else { return Ok(false) };
        let subject = self.link.names.task(&task.key, &origin);
        let id = Uuid::new_v4();
        let mut unknown = false;
        loop {
            let Some((before, last)) = self.link.last_frame(&subject).await? else {
                // It was removed so long ago that nothing says so any more.
                self.absorb_removal(&task.key, &origin, u64::MAX);
                return Ok(false);
            };
            if last.id == id || !fits(task, &last)? {
                self.absorb(&origin, &last, before)?;
                return Ok(last.id == id);
            }
            let left = task.snapshot.clone().map(|snapshot| (&last.head[..], snapshot));
            let body = encode_trim(id, &task.key, task.seq, left)?;
            if body.len() > self.longest() {
                tracing::debug!(task = %task.key, bytes = body.len(), "a snapshot does not fit into a message");
                return Ok(false);
            }
            let why =
                match self.replace(&subject, body.clone(), before, task.snapshot.is_none(), deadline).await {
                    Ok(message) => {
                        self.absorb(&origin, &Frame::decode(body)?, message)?;
                        return Ok(true);
                    }
                    Err(Miss::Full(why)) => return Err(LogError::Full(why)),
                    Err(Miss::Taken) => "somebody else is writing".to_owned(),
                    Err(Miss::Refused(why)) => why,
                    Err(Miss::Unknown(why)) => {
                        unknown = true;
                        why
                    }
                };
            if !pauses.next().await {
                let outcome = if unknown { "whether it was is not known" } else { "it is as before" };
                return Err(self.link.failed(&format!("task {} was not trimmed, {outcome}", task.key), &why));
            }
        }
    }

    /// Publishes what replaces all messages of the subject. A full stream has no place for it before some are gone: of a
    /// task that is to go, all but the last can go first.
    async fn replace(
        &self,
        subject: &str,
        body: Bytes,
        before: u64,
        removes: bool,
        deadline: Instant,
    ) -> Result<u64, Miss> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        if removes {
            headers.insert(NATS_MESSAGE_TTL, REMEMBERED);
        }
        match self.send(subject, body.clone(), before, headers.clone(), deadline).await {
            Err(Miss::Full(_)) if removes => {
                let purge = self.link.stream.purge().filter(subject).sequence(before);
                purge.await.map_err(|error| Miss::Refused(error.to_string()))?;
                self.send(subject, body, before, headers, deadline).await
            }
            outcome => outcome,
        }
    }
}

/// Whether the task is as it has to be, with this last frame.
fn fits(task: &Trim, last: &Frame) -> Result<bool, LogError> {
    if last.kind == Kind::Removed || last.last() != task.seq || !last.head()?.state.is_terminal() {
        return Ok(false);
    }
    Ok(task.snapshot.is_none() || (last.kind == Kind::Append && task.seq > 1))
}
