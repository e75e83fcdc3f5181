//! Small versioned records beside the log: what is shared between hosts, and is not a task.

use crate::contract::LogError;
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::Tenant;
use std::ops::Bound;
use tokio::sync::watch;

/// What a record is for. Each space is listed and watched on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Hosts that are alive: `{agent}/{host}`.
    Hosts,
    /// Push notification configurations and how far each has come: `{task}/{config}`.
    Push,
    /// The memory of contexts: `{owner and context, hashed}/{name}`.
    Context,
    /// Agents that registered themselves at a gateway: `{agent}`.
    Directory,
    /// What a gateway knows of the definitions of tools: `{upstream}/{tool}`.
    Pins,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 5] = [Self::Hosts, Self::Push, Self::Context, Self::Directory, Self::Pins];

    /// Its name in a store; part of the format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Push => "push",
            Self::Context => "context",
            Self::Directory => "directory",
            Self::Pins => "pins",
        }
    }
}

/// The full name of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// What it is for.
    pub space: Space,
    /// Whose it is.
    pub tenant: Tenant,
    /// At most [`RecordKey::LONGEST_NAME`] bytes, any characters; `/` between its parts by custom.
    pub name: String,
}

impl RecordKey {
    /// Bytes of a name.
    pub const LONGEST_NAME: usize = 512;

    /// A key.
    pub fn new(space: Space, tenant: Tenant, name: impl Into<String>) -> Self {
        Self { space, tenant, name: name.into() }
    }
}

/// A record as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// Its content.
    pub value: Bytes,
    /// Greater after every change, also when the record was deleted in between. Not contiguous.
    pub version: u64,
}

/// What a change requires of the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Anything,
    /// That there is none.
    Nothing,
    /// That it has this version.
    Version(u64),
}

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It is not as expected.
    #[error("the record is at version {actual}")]
    Conflict {
        /// What its version is; 0 if there is none.
        actual: u64,
    },
    /// The name or the value is too long.
    #[error("{0}")]
    TooLarge(String),
    /// The store failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Small versioned records, as durable as the log they belong to.
///
/// Every provider promises:
///
/// 1. **One at a time.** Of two changes that expect the same version at most one succeeds; the other gets
///    [`PutError::Conflict`] and changes nothing.
/// 2. **Durability.** What was answered is on disk (or on a quorum).
/// 3. **Read what is acknowledged.** After a change was answered, `get`, `list` and `count` of any process see it.
/// 4. **Versions** of a key only grow, also over a deletion and a restart.
/// 5. **Tenants.** A key of another tenant finds nothing.
/// 6. **Watching.** `changes(space)` moves after any change of a record in the space, by whichever process. Values may be
///    skipped.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// The record, if there is one.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, LogError>;

    /// Writes a record; answers with its version. A value has at most [`LONGEST_VALUE`] bytes.
    async fn put(&self, key: &RecordKey, value: Bytes, expect: Expect) -> Result<u64, PutError>;

    /// Deletes a record; none is not an error with [`Expect::Anything`].
    async fn delete(&self, key: &RecordKey, expect: Expect) -> Result<(), PutError>;

    /// Records of a space, of one tenant or of all, whose name begins with `prefix`: ordered by tenant and name, those
    /// after `after`, at most `limit`.
    async fn list(
        &self,
        space: Space,
        tenant: Option<&Tenant>,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, LogError>;

    /// How many records a tenant has in a space whose name begins with `prefix`.
    async fn count(&self, space: Space, tenant: &Tenant, prefix: &str) -> Result<u64, LogError>;

    /// Moves with every change in the space. What the value says has no meaning.
    async fn changes(&self, space: Space) -> Result<watch::Receiver<u64>, LogError>;
}

/// Where a listing begins: behind `after`, and at the first name that can begin with `prefix`.
pub(crate) fn first_of(
    space: Space,
    tenant: Option<&Tenant>,
    prefix: &str,
    after: Option<&RecordKey>,
) -> Bound<RecordKey> {
    let prefix = if tenant.is_some() { prefix } else { "" };
    let first = RecordKey::new(space, tenant.cloned().unwrap_or_else(|| Tenant::from("")), prefix);
    match after {
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    }
}

/// Whether a listing may go on to `key`. Names with a prefix stand together, but only within a tenant.
pub(crate) fn is_within(key: &RecordKey, space: Space, tenant: Option<&Tenant>, prefix: &str) -> bool {
    key.space == space && tenant.is_none_or(|tenant| key.tenant == *tenant && key.name.starts_with(prefix))
}

/// Bytes of a record's value.
pub const LONGEST_VALUE: usize = 256 << 10;

/// Checks what every provider has to check.
pub(crate) fn check_size(key: &RecordKey, value: &[u8]) -> Result<(), PutError> {
    if key.name.is_empty() || key.name.len() > RecordKey::LONGEST_NAME {
        let most = RecordKey::LONGEST_NAME;
        return Err(PutError::TooLarge(format!(
            "the name has {} bytes; 1 to {most} are allowed",
            key.name.len()
        )));
    }
    if value.len() > LONGEST_VALUE {
        return Err(PutError::TooLarge(format!(
            "the value has {} bytes; at most {LONGEST_VALUE} are allowed",
            value.len()
        )));
    }
    Ok(())
}
