//! The memory of a context: versioned entries, each a record of its own.
//!
//! Every write names the version that it replaces, so of two that know the same one succeeds. A write is made in this
//! order: read the entry, look whether the attempt still is the task's, write over the version that was read. So what a
//! later attempt has written is never overwritten by an earlier one, whose host was late.
//!
//! The bound on entries is looked at before and again after an entry was added; whoever made one too many takes it back.
//! Agents that add entries at the same moment may all be refused, and then the memory is not over its bound. It is only
//! if a host dies between the two, or if somebody else has changed the new entry already: by that one.

use super::entry::Stored;
use super::{ContextKey, Contexts, Entry, EntryPage};
use mesh_core::{TaskId, TaskKey};
use mesh_log::{Expect, LogError, PutError, RecordKey, Space};
use serde_json::value::RawValue;

/// Entries of a page at most.
pub(crate) const MAX_PAGE: usize = 100;
/// Bytes after which a page ends early.
const PAGE_BYTES: usize = 1 << 20;
/// Records read at once.
const READ: usize = 16;
/// How often a write that minds no version is made again when others were faster.
const TRIES: usize = 16;

/// Who writes.
pub(crate) struct Writer<'a> {
    pub(crate) context: &'a ContextKey,
    pub(crate) task: &'a TaskId,
    /// Fencing token.
    pub(crate) attempt: u32,
}

/// Why an entry was not read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// It is not as expected.
    #[error("the entry is at version {actual}")]
    Conflict {
        /// What its version is; 0 if there is none.
        actual: u64,
    },
    /// There is none of this key.
    #[error("the context has no entry of this key")]
    NotFound,
    /// Key or value is too long, or there are too many.
    #[error("{0}")]
    TooLarge(String),
    /// It cannot be an entry.
    #[error("{0}")]
    Invalid(String),
    /// Others write to the same entry all the time.
    #[error("others are changing the entry; try again")]
    Busy,
    /// The attempt that writes is not the task's any more.
    #[error("the attempt is over")]
    Over,
    /// The store failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Contexts {
    /// An entry.
    pub(crate) async fn read(&self, at: &ContextKey, key: &str) -> Result<Entry, MemoryError> {
        self.check_key(key)?;
        let record = self.log.records().get(&at.record(key)).await?;
        record.and_then(|record| Stored::entry(at, &record)).ok_or(MemoryError::NotFound)
    }

    /// Writes an entry; answers with its version. `expect`: the version that it must have, 0 for none; whatever there is
    /// without one.
    pub(crate) async fn write(
        &self,
        writer: &Writer<'_>,
        key: &str,
        value: &RawValue,
        expect: Option<u64>,
    ) -> Result<u64, MemoryError> {
        self.check_key(key)?;
        self.check_value(value)?;
        let stored = Stored {
            owner: writer.context.owner.to_string(),
            context: writer.context.context.to_string(),
            agent: self.settings.name.to_string(),
            task: writer.task.clone(),
            updated: self.clock.now(),
            value: value.to_owned(),
        };
        let bytes = stored.encode().map_err(|error| MemoryError::Invalid(error.to_string()))?;
        let (records, record) = (self.log.records(), writer.context.record(key));
        for _ in 0..TRIES {
            let known = self.version(&record, expect).await?;
            if known == 0 {
                self.check_room(writer.context, 1).await?;
            }
            self.fence(writer).await?;
            match records.put(&record, bytes.clone(), require(known)).await {
                Ok(version) if known == 0 => return self.keep_or_take_back(writer, &record, version).await,
                Ok(version) => return Ok(version),
                Err(error) => again_unless(expect, error)?,
            }
        }
        Err(MemoryError::Busy)
    }

    /// Deletes an entry; none is not an error without `expect`.
    pub(crate) async fn erase(
        &self,
        writer: &Writer<'_>,
        key: &str,
        expect: Option<u64>,
    ) -> Result<(), MemoryError> {
        self.check_key(key)?;
        let record = writer.context.record(key);
        for _ in 0..TRIES {
            let known = self.version(&record, expect).await?;
            self.fence(writer).await?;
            if known == 0 {
                return Ok(());
            }
            match self.log.records().delete(&record, Expect::Version(known)).await {
                Ok(()) => return Ok(()),
                Err(error) => again_unless(expect, error)?,
            }
        }
        Err(MemoryError::Busy)
    }

    /// Entries by key, those behind `after`, at most `limit`; fewer when they are large.
    pub(crate) async fn page(
        &self,
        at: &ContextKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, LogError> {
        let (prefix, records) = (at.prefix(), self.log.records());
        let mut page = EntryPage::default();
        let mut last = after.map(|key| at.record(key));
        let mut bytes = 0;
        loop {
            let found = records.list(Space::Context, Some(&at.tenant), &prefix, last.as_ref(), READ).await?;
            let ended = found.len() < READ;
            for record in found {
                if page.entries.len() >= limit.clamp(1, MAX_PAGE) || bytes >= PAGE_BYTES {
                    page.next = page.entries.last().map(|entry| entry.key.clone());
                    return Ok(page);
                }
                bytes += record.value.len();
                page.entries.extend(Stored::entry(at, &record));
                last = Some(record.key);
            }
            if ended {
                return Ok(page);
            }
        }
    }

    /// Forgets the memory of a context in which its owner has no task any more, of whichever agent. `true`: it did.
    ///
    /// An entry that is written meanwhile, by a new task, stays.
    pub(crate) async fn forget_if_unused(&self, at: &ContextKey) -> Result<bool, LogError> {
        let records = self.log.records();
        let prefix = at.prefix();
        let mut last: Option<RecordKey> = None;
        loop {
            let found = records.list(Space::Context, Some(&at.tenant), &prefix, last.as_ref(), READ).await?;
            if !self.is_unused(at).await? {
                return Ok(false);
            }
            for record in &found {
                match records.delete(&record.key, Expect::Version(record.version)).await {
                    Ok(()) | Err(PutError::Conflict { .. } | PutError::TooLarge(_)) => {}
                    Err(PutError::Log(error)) => return Err(error),
                }
            }
            let Some(record) = found.into_iter().next_back() else { return Ok(true) };
            last = Some(record.key);
        }
    }

    /// The entry's version, 0 if there is none; an error if it is not the expected one.
    async fn version(&self, record: &RecordKey, expect: Option<u64>) -> Result<u64, MemoryError> {
        let actual = self.log.records().get(record).await?.map_or(0, |record| record.version);
        match expect {
            Some(expected) if expected != actual => Err(MemoryError::Conflict { actual }),
            _ => Ok(actual),
        }
    }

    /// Only the attempt that the task has now may write, and only from the host that has it.
    async fn fence(&self, writer: &Writer<'_>) -> Result<(), MemoryError> {
        let key = TaskKey::new(writer.context.tenant.clone(), writer.task.clone());
        let head = self.log.head(&key).await?;
        let current = head.is_some_and(|head| {
            head.control.phase.attempt() == Some(writer.attempt)
                && head.control.holder.as_ref() == Some(&self.host)
        });
        if current { Ok(()) } else { Err(MemoryError::Over) }
    }

    async fn check_room(&self, at: &ContextKey, more: u64) -> Result<(), MemoryError> {
        let most = self.settings.limits.context_entries;
        let count = self.log.records().count(Space::Context, &at.tenant, &at.prefix()).await?;
        if count + more <= most as u64 {
            return Ok(());
        }
        let why =
            format!("the context has {most} entries, the most that it may have (limits.context_entries)");
        Err(MemoryError::TooLarge(why))
    }

    /// A new entry was written: it stays unless it is one too many.
    async fn keep_or_take_back(
        &self,
        writer: &Writer<'_>,
        record: &RecordKey,
        version: u64,
    ) -> Result<u64, MemoryError> {
        let Err(error) = self.check_room(writer.context, 0).await else { return Ok(version) };
        match self.log.records().delete(record, Expect::Version(version)).await {
            Ok(()) => Err(error),
            // Somebody has changed it already: it is theirs now.
            Err(PutError::Conflict { .. }) => Ok(version),
            Err(error) => again_unless(None, error).and(Err(MemoryError::Busy)),
        }
    }

    fn check_key(&self, key: &str) -> Result<(), MemoryError> {
        let most = self.settings.limits.context_key;
        match key.len() {
            0 => Err(MemoryError::Invalid("the key is empty".to_owned())),
            length if length > most => {
                let why =
                    format!("the key has {length} bytes; at most {most} are allowed (limits.context_key)");
                Err(MemoryError::TooLarge(why))
            }
            _ => Ok(()),
        }
    }

    fn check_value(&self, value: &RawValue) -> Result<(), MemoryError> {
        let (most, depth) = (self.settings.limits.context_entry, self.settings.limits.depth);
        let length = value.get().len();
        if length as u64 > most {
            let why =
                format!("the value has {length} bytes; at most {most} are allowed (limits.context_entry)");
            return Err(MemoryError::TooLarge(why));
        }
        crate::wire::check_depth(value.get().as_bytes(), depth).map_err(|_| {
            MemoryError::Invalid(format!("the value is nested deeper than {depth} levels (limits.depth)"))
        })
    }
}

fn require(version: u64) -> Expect {
    if version == 0 { Expect::Nothing } else { Expect::Version(version) }
}

/// What is to be done about a write that was refused: `Ok` is to try again.
fn again_unless(expect: Option<u64>, error: PutError) -> Result<(), MemoryError> {
    match error {
        PutError::Conflict { .. } if expect.is_none() => Ok(()),
        PutError::Conflict { actual } => Err(MemoryError::Conflict { actual }),
        PutError::TooLarge(why) => Err(MemoryError::TooLarge(why)),
        PutError::Log(error) => Err(error.into()),
    }
}
