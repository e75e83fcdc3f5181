//! Read connections, lent to blocking threads one query at a time.

use super::error::translate;
use crate::contract::LogError;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task;

/// A fixed number of connections. Who finds none idle waits as a future, not as a thread.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    count: u32,
    queries: AtomicU64,
}

/// A connection that goes back when it is dropped, also when a query panics or nobody waits for it any more.
struct Lease {
    readers: Arc<Readers>,
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, connections: Vec<Connection>) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let permits = Semaphore::new(connections.len());
        Self { path, idle: Mutex::new(connections), permits, count, queries: AtomicU64::new(0) }
    }

    /// Runs a query on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = self.permits.acquire().await.map_err(|_| LogError::Closed)?;
        // From here on the lease gives the permit back, together with the connection.
        permit.forget();
        self.queries.fetch_add(1, Ordering::Relaxed);
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lease = Lease { readers: Arc::clone(self), connection };
        task::spawn_blocking(move || {
            let connection = lease.connection.as_ref().ok_or(LogError::Closed)?;
            query(connection).map_err(|error| translate(&lease.readers.path, &error))
        })
        .await
        .map_err(|error| LogError::Failed(format!("a read did not finish: {error}")))?
    }

    /// Queries run so far.
    pub(super) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Waits for the queries that were begun, then closes every connection.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        self.close_idle();
    }

    /// Closes every connection that no query has.
    pub(super) fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        self.readers.permits.add_permits(1);
    }
}
