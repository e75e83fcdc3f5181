//! The gateway's records, kept in the log's.

use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::{Compartment, Required, Shelf, ShelfError, Shelved, Tenant};
use mesh_log::{EventLog, Expect, LogError, PutError, Record, RecordKey, Space};
use std::sync::Arc;

/// A shelf in the storage of the mesh.
pub(crate) struct LogShelf {
    log: Arc<dyn EventLog>,
}

impl LogShelf {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log }
    }
}

fn key(of: Compartment, tenant: &Tenant, name: &str) -> RecordKey {
    RecordKey::new(space(of), tenant.clone(), name)
}

fn space(of: Compartment) -> Space {
    match of {
        Compartment::Directory => Space::Directory,
        Compartment::Pins => Space::Pins,
    }
}

fn expect(required: Required) -> Expect {
    match required {
        Required::Anything => Expect::Anything,
        Required::Absent => Expect::Nothing,
        Required::Version(version) => Expect::Version(version),
    }
}

fn shelved(record: Record) -> Shelved {
    Shelved { name: record.key.name, value: record.value.to_vec(), version: record.version }
}

fn failed(error: &LogError) -> ShelfError {
    ShelfError::Failed(error.to_string())
}

fn refused(error: PutError) -> ShelfError {
    match error {
        PutError::Conflict { actual } => ShelfError::Conflict { actual },
        PutError::TooLarge(why) => ShelfError::TooLarge(why),
        PutError::Log(error) => failed(&error),
    }
}

#[async_trait]
impl Shelf for LogShelf {
    async fn get(&self, of: Compartment, tenant: &Tenant, name: &str) -> Result<Option<Shelved>, ShelfError> {
        let found = self.log.records().get(&key(of, tenant, name)).await;
        Ok(found.map_err(|error| failed(&error))?.map(shelved))
    }

    async fn put(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        value: Vec<u8>,
        required: Required,
    ) -> Result<u64, ShelfError> {
        let key = key(of, tenant, name);
        self.log.records().put(&key, Bytes::from(value), expect(required)).await.map_err(refused)
    }

    async fn delete(
        &self,
        of: Compartment,
        tenant: &Tenant,
        name: &str,
        required: Required,
    ) -> Result<(), ShelfError> {
        self.log.records().delete(&key(of, tenant, name), expect(required)).await.map_err(refused)
    }

    async fn list(
        &self,
        of: Compartment,
        tenant: &Tenant,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Shelved>, ShelfError> {
        let after = after.map(|name| key(of, tenant, name));
        let found = self.log.records().list(space(of), Some(tenant), "", after.as_ref(), limit).await;
        Ok(found.map_err(|error| failed(&error))?.into_iter().map(shelved).collect())
    }
}
