//! Records in memory.

use crate::contract::LogError;
use crate::records::{Expect, PutError, Record, RecordKey, Records, Space, check_size, first_of, is_within};
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::Tenant;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The records of a log in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryRecords {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<RecordKey, (u64, Bytes)>,
    version: u64,
    watched: HashMap<Space, watch::Sender<u64>>,
    bytes: usize,
    closed: bool,
}

/// What all records together may hold; beyond it, changes fail with [`LogError::Full`].
const MAX_BYTES: usize = 256 << 20;

impl MemoryRecords {
    fn open(&self) -> Result<MutexGuard<'_, State>, LogError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(LogError::Closed) } else { Ok(state) }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.watched.clear();
    }
}

impl State {
    fn meets(&self, key: &RecordKey, expect: Expect) -> Result<(), PutError> {
        let actual = self.records.get(key).map_or(0, |(version, _)| *version);
        let met = match expect {
            Expect::Anything => true,
            Expect::Nothing => actual == 0,
            Expect::Version(version) => actual == version,
        };
        if met { Ok(()) } else { Err(PutError::Conflict { actual }) }
    }

    fn changed(&mut self, space: Space) -> u64 {
        self.version += 1;
        if let Some(watched) = self.watched.get(&space) {
            watched.send_replace(self.version);
        }
        self.version
    }
}

#[async_trait]
impl Records for MemoryRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, LogError> {
        let state = self.open()?;
        Ok(state.records.get(key).map(|(version, value)| Record {
            key: key.clone(),
            value: value.clone(),
            version: *version,
        }))
    }

    async fn put(&self, key: &RecordKey, value: Bytes, expect: Expect) -> Result<u64, PutError> {
        check_size(key, &value)?;
        let mut state = self.open()?;
        state.meets(key, expect)?;
        let before = state.records.get(key).map_or(0, |(_, value)| value.len() + key.name.len());
        let bytes = state.bytes - before + value.len() + key.name.len();
        if bytes > MAX_BYTES {
            let reason = format!("the records in memory have reached their {MAX_BYTES} bytes");
            return Err(LogError::Full(reason).into());
        }
        state.bytes = bytes;
        let version = state.changed(key.space);
        state.records.insert(key.clone(), (version, value));
        Ok(version)
    }

    async fn delete(&self, key: &RecordKey, expect: Expect) -> Result<(), PutError> {
        let mut state = self.open()?;
        state.meets(key, expect)?;
        if let Some((_, value)) = state.records.remove(key) {
            state.bytes -= value.len() + key.name.len();
            state.changed(key.space);
        }
        Ok(())
    }

    async fn list(
        &self,
        space: Space,
        tenant: Option<&Tenant>,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, LogError> {
        let state = self.open()?;
        let from = first_of(space, tenant, prefix, after);
        Ok(state
            .records
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| is_within(key, space, tenant, prefix))
            .filter(|(key, _)| key.name.starts_with(prefix))
            .take(limit)
            .map(|(key, (version, value))| Record {
                key: key.clone(),
                value: value.clone(),
                version: *version,
            })
            .collect())
    }

    async fn count(&self, space: Space, tenant: &Tenant, prefix: &str) -> Result<u64, LogError> {
        let state = self.open()?;
        let from = first_of(space, Some(tenant), prefix, None);
        let found = state.records.range((from, Bound::Unbounded));
        Ok(found.take_while(|(key, _)| is_within(key, space, Some(tenant), prefix)).count() as u64)
    }

    async fn changes(&self, space: Space) -> Result<watch::Receiver<u64>, LogError> {
        let mut state = self.open()?;
        Ok(state.watched.entry(space).or_insert_with(|| watch::channel(0).0).subscribe())
    }
}
