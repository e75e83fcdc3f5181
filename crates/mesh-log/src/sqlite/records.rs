//! Records in the file of the log.

use super::Shared;
use super::error::translate;
use super::readers::Readers;
use super::writer::{Alone, Work};
use crate::contract::LogError;
use crate::records::{Expect, PutError, Record, RecordKey, Records, Space, check_size, first_of, is_within};
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::Tenant;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// The records of a store.
pub(super) struct SqliteRecords {
    pub(super) path: PathBuf,
    pub(super) queue: Arc<Mutex<Option<mpsc::Sender<Work>>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) readers: Arc<Readers>,
}

impl SqliteRecords {
    /// Changes a record on the writer's thread, in a transaction of its own.
    async fn change(&self, key: &RecordKey, value: Option<Bytes>, expect: Expect) -> Result<u64, PutError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(LogError::Closed)?;
        let (answer, outcome) = oneshot::channel();
        let (key, path, shared) = (key.clone(), self.path.clone(), Arc::clone(&self.shared));
        let work: Alone = Box::new(move |connection| {
            let changed = match connection {
                Ok(connection) => {
                    change(connection, &key, value.as_deref(), expect).map_err(|error| match error {
                        Stop::Refused(actual) => PutError::Conflict { actual },
                        Stop::Broken(error) => translate(&path, &error).into(),
                    })
                }
                Err(error) => Err(error.into()),
            };
            if changed.is_ok() {
                shared.changes[key.space as usize].send_modify(|count| *count += 1);
            }
            // Who gave up waiting is not told; the record is changed all the same.
            let _ = answer.send(changed);
        });
        queue.try_send(Work::Alone(work)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => LogError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => LogError::Closed,
        })?;
        outcome.await.unwrap_or_else(|_| Err(LogError::Closed.into()))
    }
}

enum Stop {
    Refused(u64),
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// Dropped without being committed, a transaction is rolled back.
fn change(
    connection: &Connection,
    key: &RecordKey,
    value: Option<&[u8]>,
    expect: Expect,
) -> Result<u64, Stop> {
    let transaction = connection.unchecked_transaction()?;
    let (space, tenant, name) = (key.space.as_str(), key.tenant.as_str(), key.name.as_str());
    let actual: Option<i64> = transaction
        .prepare_cached("SELECT version FROM records WHERE space = ?1 AND tenant = ?2 AND name = ?3")?
        .query_row(params![space, tenant, name], |row| row.get(0))
        .optional()?;
    let actual = actual.unwrap_or(0).unsigned_abs();
    let met = match expect {
        Expect::Anything => true,
        Expect::Nothing => actual == 0,
        Expect::Version(version) => actual == version,
    };
    if !met {
        return Err(Stop::Refused(actual));
    }
    let version: i64 = transaction
        .prepare_cached("UPDATE versions SET last = last + 1 RETURNING last")?
        .query_row((), |row| row.get(0))?;
    match value {
        Some(value) => transaction
            .prepare_cached(
                "INSERT INTO records (space, tenant, name, version, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value",
            )?
            .execute(params![space, tenant, name, version, value])?,
        None => transaction
            .prepare_cached("DELETE FROM records WHERE space = ?1 AND tenant = ?2 AND name = ?3")?
            .execute(params![space, tenant, name])?,
    };
    transaction.commit()?;
    Ok(version.unsigned_abs())
}

fn record(space: Space, row: &Row<'_>) -> rusqlite::Result<Record> {
    let tenant: String = row.get(0)?;
    let name: String = row.get(1)?;
    Ok(Record {
        key: RecordKey::new(space, Tenant::from(tenant), name),
        version: row.get::<_, i64>(2)?.unsigned_abs(),
        value: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
    })
}

/// Visits the records of a space by tenant and name, until `visit` says that it is enough.
fn walk(
    connection: &Connection,
    columns: &str,
    from: &Bound<RecordKey>,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let (first, compare) = match from {
        Bound::Excluded(first) => (first, ">"),
        Bound::Included(first) => (first, ">="),
        Bound::Unbounded => return Ok(()),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM records WHERE space = ?1 AND (tenant, name) {compare} (?2, ?3)
         ORDER BY tenant, name"
    ))?;
    let mut rows = statement.query(params![first.space.as_str(), first.tenant.as_str(), first.name])?;
    while let Some(row) = rows.next()? {
        if !visit(row)? {
            break;
        }
    }
    Ok(())
}

#[async_trait]
impl Records for SqliteRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, LogError> {
        let key = key.clone();
        self.readers
            .run(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT tenant, name, version, value FROM records
                         WHERE space = ?1 AND tenant = ?2 AND name = ?3",
                    )?
                    .query_row(params![key.space.as_str(), key.tenant.as_str(), key.name], |row| {
                        record(key.space, row)
                    })
                    .optional()
            })
            .await
    }

    async fn put(&self, key: &RecordKey, value: Bytes, expect: Expect) -> Result<u64, PutError> {
        check_size(key, &value)?;
        self.change(key, Some(value), expect).await
    }

    async fn delete(&self, key: &RecordKey, expect: Expect) -> Result<(), PutError> {
        self.change(key, None, expect).await.map(|_| ())
    }

    async fn list(
        &self,
        space: Space,
        tenant: Option<&Tenant>,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, LogError> {
        let (from, prefix, tenant) =
            (first_of(space, tenant, prefix, after), prefix.to_owned(), tenant.cloned());
        self.readers
            .run(move |connection| {
                let mut found = Vec::new();
                if limit == 0 {
                    return Ok(found);
                }
                walk(connection, "tenant, name, version, value", &from, |row| {
                    let record = record(space, row)?;
                    if !is_within(&record.key, space, tenant.as_ref(), &prefix) {
                        return Ok(false);
                    }
                    if record.key.name.starts_with(&prefix) {
                        found.push(record);
                    }
                    Ok(found.len() < limit)
                })?;
                Ok(found)
            })
            .await
    }

    async fn count(&self, space: Space, tenant: &Tenant, prefix: &str) -> Result<u64, LogError> {
        let (from, prefix) = (first_of(space, Some(tenant), prefix, None), prefix.to_owned());
        let tenant = tenant.clone();
        self.readers
            .run(move |connection| {
                let mut count = 0;
                walk(connection, "tenant, name", &from, |row| {
                    let name: String = row.get(1)?;
                    let counts = row.get_ref(0)?.as_str()? == tenant.as_str() && name.starts_with(&prefix);
                    count += u64::from(counts);
                    Ok(counts)
                })?;
                Ok(count)
            })
            .await
    }

    async fn changes(&self, space: Space) -> Result<watch::Receiver<u64>, LogError> {
        Ok(self.shared.changes[space as usize].subscribe())
    }
}
