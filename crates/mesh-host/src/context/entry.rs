//! An entry of a context's memory, as it is stored and as it is shown.

use super::ContextKey;
use bytes::Bytes;
use mesh_core::{TaskId, Timestamp};
use mesh_log::Record;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An entry, and who wrote it.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Box<RawValue>,
    /// Greater after every change. Not contiguous.
    pub(crate) version: u64,
    /// The agent that wrote it.
    pub(crate) agent: String,
    /// The task in which it did.
    pub(crate) task: TaskId,
    /// When.
    pub(crate) updated: Timestamp,
}

/// Entries by key.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EntryPage {
    pub(crate) entries: Vec<Entry>,
    /// The key behind which the next page begins, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// The value of a record. Owner and context are in it because its name holds a digest only.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) owner: String,
    pub(super) context: String,
    pub(super) agent: String,
    pub(super) task: TaskId,
    pub(super) updated: Timestamp,
    pub(super) value: Box<RawValue>,
}

impl Stored {
    /// As the record holds it.
    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    /// The entry in a record; `None` if no host wrote it, or for another context.
    pub(super) fn entry(at: &ContextKey, record: &Record) -> Option<Entry> {
        let stored: Self = serde_json::from_slice(&record.value).ok()?;
        let here = stored.owner == at.owner.as_str() && stored.context == at.context.as_str();
        let key = record.key.name.strip_prefix(&at.prefix())?;
        here.then(|| Entry {
            key: key.to_owned(),
            value: stored.value,
            version: record.version,
            agent: stored.agent,
            task: stored.task,
            updated: stored.updated,
        })
    }
}
