//! Small versioned records that outlive the process, for parts that may not know the store.

use crate::Tenant;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a record is for. Each compartment is listed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compartment {
    /// Agents that registered themselves: `{agent}`.
    Directory,
    /// What is known of the definitions of tools: `{upstream}/{tool}`.
    Pins,
}

/// A record as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// Its name.
    pub name: String,
    /// Its content: at most 256 KiB.
    pub value: Vec<u8>,
    /// Greater after every change. Not contiguous.
    pub version: u64,
}

/// What a change requires of the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Nothing.
    Anything,
    /// That there is none.
    Absent,
    /// That it has this version.
    Version(u64),
}

/// Why a record was not read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShelfError {
    /// It is not as required.
    #[error("the record is at version {actual}")]
    Conflict {
        /// What its version is; 0 if there is none.
        actual: u64,
    },
    /// The name or the value is too long.
    #[error("{0}")]
    TooLarge(String),
    /// The store failed. For logs, not for clients.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Keeps records. What was answered is as durable as the mesh's storage is, and seen by every process that shares it.
#[async_trait]
pub trait Shelf: Send + Sync + 'static {
    /// The record, if there is one.
    async fn get(&self, of: Compartment, tenant: &Tenant, name: &str) -> Result<Option<Shelved>, ShelfError>;

    /// Writes a record; answers with its version.
    async fn put(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        value: Vec<u8>,
        required: Required,
    ) -> Result<u64, ShelfError>;

    /// Deletes a record; none is not an error with [`Required::Anything`].
    async fn delete(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        required: Required,
    ) -> Result<(), ShelfError>;

    /// Records of a tenant in the order of their names, those after `after`, at most `limit`.
    async fn list(
        &self,
        of: Compartment,
        tenant: &Tenant,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Shelved>, ShelfError>;
}

/// A shelf that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryShelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<(Compartment, Tenant, String), Shelved>,
    version: u64,
}

impl MemoryShelf {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(found: Option<&Shelved>, required: Required) -> Result<(), ShelfError> {
    let actual = found.map_or(0, |record| record.version);
    let fits = match required {
        Required::Anything => true,
        Required::Absent => found.is_none(),
        Required::Version(version) => actual == version,
    };
    if fits { Ok(()) } else { Err(ShelfError::Conflict { actual }) }
}

#[async_trait]
impl Shelf for MemoryShelf {
    async fn get(&self, of: Compartment, tenant: &Tenant, name: &str) -> Result<Option<Shelved>, ShelfError> {
        Ok(self.lock().records.get(&(of, tenant.clone(), name.to_owned())).cloned())
    }

    async fn put(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        value: Vec<u8>,
        required: Required,
    ) -> Result<u64, ShelfError> {
        let mut state = self.lock();
        let key = (of, tenant.clone(), name.to_owned());
        check(state.records.get(&key), required)?;
        state.version += 1;
        let version = state.version;
        state.records.insert(key, Shelved { name: name.to_owned(), value, version });
        Ok(version)
    }

    async fn delete(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        required: Required,
    ) -> Result<(), ShelfError> {
        let mut state = self.lock();
        let key = (of, tenant.clone(), name.to_owned());
        check(state.records.get(&key), required)?;
        state.records.remove(&key);
        Ok(())
    }

    async fn list(
        &self,
        of: Compartment,
        tenant: &Tenant,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Shelved>, ShelfError> {
        let state = self.lock();
        let first = (of, tenant.clone(), after.unwrap_or_default().to_owned());
        let ours =
            state.records.range(first..).take_while(|((space, owner, _), _)| (*space, owner) == (of, tenant));
        let later = ours.filter(|((_, _, name), _)| after.is_none_or(|after| name.as_str() > after));
        Ok(later.take(limit).map(|(_, record)| record.clone()).collect())
    }
}
