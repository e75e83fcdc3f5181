//! The formats of the file, and how one becomes the next.
//!
//! The version of the format is in the header of the file (`user_version`). A store of an earlier version is brought up to
//! date when it is opened, all steps in one transaction: it is of the one version or of the other, also after a crash.

use super::error::translate;
use crate::contract::LogError;
use rusqlite::Connection;
use std::path::Path;

/// The steps: the first makes version 2 of version 1.
const STEPS: &[&str] = &[
    // 2: small records beside the tasks. A version is taken from `versions`, so that none comes twice.
    "CREATE TABLE records (
        space   TEXT NOT NULL,
        tenant  TEXT NOT NULL,
        name    TEXT NOT NULL,
        version INTEGER NOT NULL,
        value   BLOB NOT NULL,
        PRIMARY KEY (space, tenant, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE versions (last INTEGER NOT NULL) STRICT;
     INSERT INTO versions VALUES (0);",
    // 3: large public parts beside the rows. Such a row has the size of the whole, and of the whole its beginning; the whole
    // is in `bodies` under the same id, and goes with the row. Rows of earlier versions have no size and stay as they are.
    "ALTER TABLE events ADD COLUMN size INTEGER;
     CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
     CREATE TRIGGER bodies_go AFTER DELETE ON events WHEN old.size IS NOT NULL
     BEGIN DELETE FROM bodies WHERE id = old.id; END;",
    // 4: trimmed tasks. `first` is the number of a task's first event: 1, or that of its snapshot. What lies in the ranges
    // of `discarded` belongs to no task any more, and is deleted step by step.
    "ALTER TABLE heads ADD COLUMN first INTEGER NOT NULL DEFAULT 1;
     CREATE INDEX heads_ended ON heads (agent, first > 1, status_at) WHERE state >= 4;
     CREATE TABLE discarded (
        first_id INTEGER PRIMARY KEY,
        last_id  INTEGER NOT NULL
     ) STRICT;",
];

/// The version that this program writes.
pub(super) const FORMAT: i32 = 1 + STEPS.len() as i32;

/// The steps that a store of `version` has taken.
pub(super) fn steps_of(version: i32) -> &'static [&'static str] {
    let done = usize::try_from(version - 1).unwrap_or(0);
    STEPS.get(..done).unwrap_or(STEPS)
}

/// Brings a store of `version` up to date.
pub(super) fn migrate(connection: &Connection, path: &Path, version: i32) -> Result<(), LogError> {
    let done = usize::try_from(version - 1).unwrap_or(0);
    let Some(steps) = STEPS.get(done..).filter(|steps| !steps.is_empty()) else { return Ok(()) };
    let script = format!("BEGIN IMMEDIATE; {} PRAGMA user_version = {FORMAT}; COMMIT;", steps.join("\n"));
    connection.execute_batch(&script).map_err(|error| {
        // The transaction may be open still.
        let _ = connection.execute_batch("ROLLBACK");
        translate(path, &error)
    })?;
    if version > 0 {
        tracing::info!(store = %path.display(), from = version, to = FORMAT, "the store was brought up to date");
    }
    Ok(())
}
