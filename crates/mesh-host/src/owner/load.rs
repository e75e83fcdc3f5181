//! Putting a task's record together from the log.

use mesh_core::event::TaskEvent;
use mesh_core::lifecycle::TaskRecord;
use mesh_core::{Seq, TaskKey};
use mesh_log::{EventLog, LogError, ReadLimit};

/// The record of a task as the log has it; `None` if there is no such task.
///
/// # Errors
/// The store fails, or holds something that no host wrote.
pub(crate) async fn load(log: &dyn EventLog, key: &TaskKey) -> Result<Option<TaskRecord>, LogError> {
    let Some(head) = log.head(key).await? else { return Ok(None) };
    let mut events = Vec::new();
    let mut seq: Seq = 0;
    // The head may be older than the last event by now, but never newer: stop where the head stood.
    while seq < head.seq {
        let batch = log.read(key, seq, ReadLimit::default()).await?;
        let Some(last) = batch.last() else { break };
        seq = last.seq;
        for stored in batch.into_iter().take_while(|stored| stored.seq <= head.seq) {
            let event = TaskEvent::decode(&stored.public, stored.private.as_deref()).map_err(|error| {
                LogError::Failed(format!("event {} of task {key} cannot be read: {error}", stored.seq))
            })?;
            events.push(event);
        }
    }
    TaskRecord::rebuild(head.control, events)
        .map(Some)
        .ok_or_else(|| LogError::Failed(format!("task {key} does not begin with its creation")))
}
