//! A backup in the place of a store.

use super::backup::{Partial, failed};
use super::{Attendant, StoreFile, beside, size_of};
use crate::contract::LogError;
use crate::findings::StoreFacts;
use crate::sqlite::error::refused;
use crate::sqlite::open::{PATIENCE, create_directory, directory_of, lock};
use mesh_core::{Clock as _, SystemClock};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::PathBuf;

const HAS_TASKS: &str =
    "has tasks, or cannot be read; it is replaced only with --force, and then kept under another name";

/// What a restore has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in the store now.
    pub facts: StoreFacts,
    /// Where the store is that was there before, if it had tasks.
    pub kept: Option<PathBuf>,
}

impl StoreFile {
    /// Puts a copy of `backup` in the place of this store, while no mesh has it. Afterwards the one or the other is there,
    /// whole, also after a crash.
    ///
    /// # Errors
    /// [`LogError::Refused`] if a mesh has the store, if it has tasks and `replace` is not said, or if the backup is not
    /// ours or not sound; [`LogError::Full`] and [`LogError::Failed`] as the system says. Nothing was changed then.
    pub fn restore(
        &self,
        backup: &Self,
        replace: bool,
        with: &mut Attendant<'_>,
    ) -> Result<Restored, LogError> {
        let directory = directory_of(&self.path);
        create_directory(directory).map_err(|error| failed(directory, &error))?;
        // Held until the end: nobody opens the store meanwhile.
        let _lock = lock(&self.path)?;
        let same = backup.path.canonicalize().ok().zip(self.path.canonicalize().ok());
        if same.is_some_and(|(backup, store)| backup == store) {
            return Err(refused(&backup.path, "is the store itself"));
        }
        let keep = self.is_worth_keeping();
        if keep && !replace {
            return Err(refused(&self.path, HAS_TASKS));
        }
        let partial = Partial::create(Self::partial_of(&self.path))?;
        let facts = backup.copy_to(&partial, with)?;
        let kept = if keep { Some(self.set_aside()?) } else { None };
        for ending in ["-wal", "-shm"] {
            // Of the file that goes: beside another one they would be taken for its own.
            let _ = fs::remove_file(beside(&self.path, ending));
        }
        partial.become_whole(&self.path)?;
        Ok(Restored { facts, kept })
    }

    /// Whether there is anything that somebody could miss. What cannot be read may hold something.
    fn is_worth_keeping(&self) -> bool {
        if size_of(&self.path) == 0 {
            return false;
        }
        let tasks = |connection: Connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM heads)", (), |row| row.get(0))
        };
        self.connect().ok().and_then(|connection| tasks(connection).ok()).unwrap_or(true)
    }

    /// Gives the store a second name, under which it stays.
    fn set_aside(&self) -> Result<PathBuf, LogError> {
        self.fold_in_log();
        let time: String =
            SystemClock.now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        let kept = beside(&self.path, &format!(".replaced-{time}"));
        let wal = beside(&self.path, "-wal");
        if size_of(&wal) > 0 {
            // It could not be folded in; whoever looks at the damage wants it.
            fs::rename(&wal, beside(&kept, "-wal")).map_err(|error| failed(&wal, &error))?;
        }
        // Both names until the new file takes the first one: there is a store at every moment. Where a file has one name
        // only, there is none for a moment.
        fs::hard_link(&self.path, &kept)
            .or_else(|_| fs::rename(&self.path, &kept))
            .map_err(|error| failed(&kept, &error))?;
        Ok(kept)
    }

    /// Brings what is in the write-ahead log into the file. Of a damaged store it stays where it is.
    fn fold_in_log(&self) {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fold = || -> rusqlite::Result<()> {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        };
        if let Err(error) = fold() {
            tracing::warn!(store = %self.path.display(), %error, "the write-ahead log is kept apart");
        }
    }
}
