//! A task's record as the log keeps it: written and put together again.

use super::ask::Detail;
use bytes::Bytes;
use mesh_core::event::TaskEvent;
use mesh_core::lifecycle::TaskRecord;
use mesh_core::model::Task;
use mesh_core::{MessageId, Seq, TaskKey};
use mesh_log::{Append, EventLog, LogError, NewEvent, ReadLimit, StoredEvent, TaskHead};

/// How the encoding of an artifact event begins.
const ARTIFACT_UPDATE: &[u8] = b"{\"artifactUpdate\"";

/// How often a task is read again that was trimmed while it was read: it can be trimmed once, and then be removed.
const READ_AGAIN: usize = 3;

/// The record of a task as the log has it; `None` if there is no such task. Without artifacts, its `bytes` are too few.
///
/// # Errors
/// The store fails, or holds something that no host wrote.
pub(super) async fn load(
    log: &dyn EventLog,
    key: &TaskKey,
    detail: Detail,
) -> Result<Option<TaskRecord>, LogError> {
    for _ in 0..READ_AGAIN {
        let Some(head) = log.head(key).await? else { return Ok(None) };
        match read_whole(log, head, detail).await {
            Ok(None) | Err(LogError::Trimmed { .. }) => {}
            read => return read,
        }
    }
    Err(LogError::Failed(format!("task {key} lacks events")))
}

/// The record that goes with a head; `None` if its events are not all there.
async fn read_whole(
    log: &dyn EventLog,
    head: TaskHead,
    detail: Detail,
) -> Result<Option<TaskRecord>, LogError> {
    let key = &head.key;
    let mut events = Vec::new();
    let mut seq: Seq = head.first.saturating_sub(1);
    let without = (detail == Detail::NoArtifacts).then_some(ARTIFACT_UPDATE);
    let limit = ReadLimit { without, ..ReadLimit::default() };
    // The head may be older than the last event by now, but never newer: stop where the head stood.
    while seq < head.seq {
        let batch = log.read(key, seq, limit).await?;
        let Some(last) = batch.last() else { return Ok(None) };
        seq = last.seq;
        for stored in batch.into_iter().take_while(|stored| stored.seq <= head.seq) {
            if stored.public.is_empty() {
                continue;
            }
            events.push(decode(key, &stored)?);
        }
    }
    let mut record = TaskRecord::rebuild(head.control, events)
        .ok_or_else(|| LogError::Failed(format!("task {key} does not begin with its creation")))?;
    if detail == Detail::NoArtifacts {
        // A snapshot has them.
        record.task.artifacts.clear();
    }
    record.seq = head.seq;
    Ok(Some(record))
}

fn decode(key: &TaskKey, stored: &StoredEvent) -> Result<TaskEvent, LogError> {
    TaskEvent::decode(&stored.public, stored.private.as_deref()).map_err(|error| {
        LogError::Failed(format!("event {} of task {key} cannot be read: {error}", stored.seq))
    })
}

/// The events after `after`, up to and with `last`.
///
/// # Errors
/// The store fails, or holds something that no host wrote.
pub(super) async fn events(
    log: &dyn EventLog,
    key: &TaskKey,
    after: Seq,
    last: Seq,
) -> Result<Vec<TaskEvent>, LogError> {
    let mut events = Vec::new();
    let mut seq = after;
    while seq < last {
        let batch = log.read(key, seq, ReadLimit::default()).await?;
        let Some(end) = batch.last() else {
            return Err(LogError::Failed(format!("event {} of task {key} is missing", seq + 1)));
        };
        seq = end.seq;
        for stored in batch.into_iter().take_while(|stored| stored.seq <= last) {
            events.push(decode(key, &stored)?);
        }
    }
    Ok(events)
}

/// An event as the log keeps it.
pub(super) fn encode(event: &TaskEvent, task: &Task) -> NewEvent {
    NewEvent {
        public: Bytes::from(event.encode(&task.id, &task.context_id)),
        private: event.encode_private().map(Bytes::from),
    }
}

/// The row that goes with the record.
pub(super) fn head_of(record: &TaskRecord) -> TaskHead {
    TaskHead {
        key: record.key(),
        context_id: record.task.context_id.clone(),
        state: record.state(),
        status_at: record.task.status.timestamp.unwrap_or(record.control.created),
        seq: record.seq,
        first: 1,
        control: record.control.clone(),
    }
}

/// The append that creates a task.
pub(super) fn creation(record: &TaskRecord, event: &TaskEvent, message: MessageId) -> Append {
    Append {
        expected_seq: 0,
        events: vec![encode(event, &record.task)],
        head: head_of(record),
        creates: Some(message),
    }
}
