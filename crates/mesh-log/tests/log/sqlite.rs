//! What only the SQLite provider promises.

mod batch;
mod bodies;
mod full;
mod memory;
mod open;
mod store;

use mesh_log::{SqliteLog, SqliteOptions};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory with a store, or a place for one.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("tasks.db")
    }

    pub(crate) fn open(&self) -> SqliteLog {
        self.open_with(SqliteOptions::default())
    }

    pub(crate) fn open_with(&self, options: SqliteOptions) -> SqliteLog {
        SqliteLog::open(&self.path(), options).unwrap()
    }

    /// Keeps the writer from writing until it is dropped.
    pub(crate) fn hold(&self) -> Hold {
        let connection = Connection::open(self.path()).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Hold(connection)
    }
}

/// SQLite's write lock.
pub(crate) struct Hold(Connection);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// The reason why a store is refused.
fn refusal(path: &Path) -> String {
    match SqliteLog::open(path, SqliteOptions::default()) {
        Err(mesh_log::LogError::Refused { path: named, reason }) => {
            assert_eq!(named, path.display().to_string());
            reason
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}
