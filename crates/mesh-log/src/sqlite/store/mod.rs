//! A store's file, looked at from outside of the process that writes it: checked, copied, put back.
//!
//! - `examine`: what is wrong with it, and how large it is. `schema`: the tables that a format has.
//! - `backup`: a copy while it is being written to. `restore`: a copy in its place.
//!
//! Nobody here opens the file itself while SQLite has it open: closing it would drop SQLite's locks.

mod backup;
mod examine;
mod restore;
mod schema;

pub use backup::Backup;
pub use restore::Restored;

use super::error::refused;
use super::open::PATIENCE;
use crate::contract::LogError;
use crate::records::Record;
use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::path::{Path, PathBuf};

/// How far something long has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes copied, of how many.
    Copied(u64, u64),
    /// The pages of a file of so many bytes are being checked.
    Pages(u64),
    /// Tasks checked, of how many.
    Tasks(u64, u64),
}

/// Whether a record can be read by those who write such; the error says why not.
pub type RecordCheck<'a> = &'a dyn Fn(&Record) -> Result<(), String>;

/// What is asked of a store beside the file itself.
pub struct Attendant<'a> {
    /// Hears how far it has come.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Knows what records look like.
    pub record: RecordCheck<'a>,
}

impl fmt::Debug for Attendant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendant").finish_non_exhaustive()
    }
}

/// The file of a SQLite store, or of a backup of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    path: PathBuf,
}

impl StoreFile {
    /// The file at a path; it need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says what is missing, as SQLite's own words for it do not.
    fn must_be_there(&self) -> Result<(), LogError> {
        let there = std::fs::metadata(&self.path).map(|_| ());
        there.map_err(|error| refused(&self.path, &format!("cannot be opened: {error}")))
    }

    /// A connection that changes nothing in the file.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "cache_size", -CACHE)?;
        Ok(connection)
    }
}

/// KiB of pages that are held in memory while a file is copied or checked.
const CACHE: i64 = 8192;

/// A file beside another one: its name and an ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A file's size; 0 if it is not there.
fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
