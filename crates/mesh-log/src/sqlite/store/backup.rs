//! A copy of a store while it is being written to.
//!
//! The pages are copied as of one moment, in small steps: a read transaction is held from the first to the last, so the
//! writer goes on beside it and what it appends meanwhile is not in the copy. It cannot begin its write-ahead log anew
//! as long, which therefore grows by what is appended during the copy.

use super::{Attendant, Progress, StoreFile, beside};
use crate::contract::LogError;
use crate::findings::{Severity, StoreFacts};
use crate::sqlite::error::{refused, translate};
use crate::sqlite::open::{private, sync_directory};
use rusqlite::backup::{self, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages of one step: 1 MiB.
const STEP: i32 = 256;
/// Steps after which what was written is synced, so that the disk is never asked for much at once.
const SYNC_EVERY: u32 = 32;
/// How long to wait when the file is locked for a moment.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How often.
const BUSY_TRIES: u32 = 500;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What is in it.
    pub facts: StoreFacts,
}

impl StoreFile {
    /// Where a backup is written before it is whole, by this process.
    pub fn partial_of(target: &Path) -> PathBuf {
        beside(target, &format!(".partial-{}", std::process::id()))
    }

    /// Copies the store to `target`, also while a mesh writes to it. What is there afterwards is a whole store that was
    /// examined, in one file for nobody but its owner, or nothing. `replace`: an earlier file of that name goes.
    ///
    /// # Errors
    /// [`LogError::Refused`] if the store is not ours, not sound, or `target` is there already; [`LogError::Full`] and
    /// [`LogError::Failed`] as the system says.
    pub fn backup(&self, target: &Path, replace: bool, with: &mut Attendant<'_>) -> Result<Backup, LogError> {
        refuse_own(&self.path, target)?;
        let taken = || (!replace && target.exists()).then(|| refused(target, "is there already"));
        if let Some(taken) = taken() {
            return Err(taken);
        }
        let partial = Partial::create(Self::partial_of(target))?;
        let facts = self.copy_to(&partial, with)?;
        if let Some(taken) = taken() {
            return Err(taken);
        }
        partial.become_whole(target)?;
        Ok(Backup { facts })
    }

    /// Copies the store into a file that is not whole before, and examines the copy.
    pub(super) fn copy_to(
        &self,
        partial: &Partial,
        with: &mut Attendant<'_>,
    ) -> Result<StoreFacts, LogError> {
        self.must_be_there()?;
        let source = self.connect().map_err(|error| translate(&self.path, &error))?;
        crate::sqlite::open::identify(&source, &self.path).and_then(|version| match version {
            0 => Err(refused(&self.path, "is empty")),
            _ => Ok(()),
        })?;
        copy_pages(&source, &self.path, partial, with)?;
        drop(source);
        make_one_file(&partial.path).map_err(|error| translate(&partial.path, &error))?;
        partial.file.sync_all().map_err(|error| failed(&partial.path, &error))?;
        let found = Self::at(&partial.path).examine(with)?;
        let error = found.findings.iter().find(|finding| finding.severity == Severity::Error);
        match error {
            None => Ok(found.facts),
            Some(first) => {
                let task = first.task.as_ref().map(|task| format!("task {task}: ")).unwrap_or_default();
                let reason = format!("is not sound: {task}{}; `agentmesh doctor` tells all", first.what);
                Err(refused(&self.path, &reason))
            }
        }
    }
}

/// A file that goes away unless it becomes whole.
pub(super) struct Partial {
    pub(super) path: PathBuf,
    file: File,
    whole: bool,
}

impl Partial {
    pub(super) fn create(path: PathBuf) -> Result<Self, LogError> {
        // One of this name is left over from a process of the same number.
        remove_with_log(&path);
        let file = private(OpenOptions::new().read(true).write(true).create_new(true))
            .open(&path)
            .map_err(|error| failed(&path, &error))?;
        Ok(Self { path, file, whole: false })
    }

    /// Takes its name.
    pub(super) fn become_whole(mut self, target: &Path) -> Result<(), LogError> {
        fs::rename(&self.path, target).map_err(|error| failed(target, &error))?;
        self.whole = true;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(directory.unwrap_or_else(|| Path::new("."))).map_err(|error| failed(target, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.whole {
            remove_with_log(&self.path);
        }
    }
}

fn remove_with_log(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        // What is not there need not go.
        let _ = fs::remove_file(beside(path, ending));
    }
}

fn copy_pages(
    source: &Connection,
    from: &Path,
    partial: &Partial,
    with: &mut Attendant<'_>,
) -> Result<(), LogError> {
    let here = |error: rusqlite::Error| translate(from, &error);
    let there = |error: rusqlite::Error| translate(&partial.path, &error);
    // From here on the source stands still for this connection.
    let moment = source.unchecked_transaction().map_err(here)?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).map_err(here)?;
    let page: u32 = moment.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(here)?;
    let mut copy = Connection::open_with_flags(
        &partial.path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(there)?;
    // Nobody reads it before it is whole, and then it is synced at once.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(there)?;
    copy.pragma_update(None, "cache_size", -super::CACHE).map_err(there)?;
    let backup = backup::Backup::new(source, &mut copy).map_err(there)?;
    let (mut busy, mut steps) = (0, 0_u32);
    loop {
        let step = backup.step(STEP).map_err(there)?;
        let progress = backup.progress();
        let bytes = |pages: i32| u64::from(pages.unsigned_abs()) * u64::from(page);
        let all = bytes(progress.pagecount);
        (with.progress)(Progress::Copied(all - bytes(progress.remaining).min(all), all));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => busy = 0,
            _ if busy < BUSY_TRIES => {
                busy += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            _ => return Err(LogError::Failed(format!("{}: is locked by another program", from.display()))),
        }
        steps += 1;
        if steps.is_multiple_of(SYNC_EVERY) {
            partial.file.sync_data().map_err(|error| failed(&partial.path, &error))?;
        }
    }
}

/// The copy of a file with a write-ahead log wants one, too. A backup is to be one file, that can be read anywhere.
fn make_one_file(path: &Path) -> rusqlite::Result<()> {
    let copy = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    copy.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0))?;
    Ok(())
}

/// A store is not backed up onto itself.
fn refuse_own(store: &Path, target: &Path) -> Result<(), LogError> {
    let same = |path: &Path| match (path.canonicalize(), target.canonicalize()) {
        (Ok(path), Ok(target)) => path == target,
        _ => path == target,
    };
    let own = ["", "-wal", "-shm", ".lock"].iter().any(|ending| same(&beside(store, ending)));
    if own { Err(refused(target, "belongs to the store itself; choose another name")) } else { Ok(()) }
}

pub(super) fn failed(path: &Path, error: &io::Error) -> LogError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            LogError::Full(format!("{}: no space is left", path.display()))
        }
        _ => LogError::Failed(format!("{}: {error}", path.display())),
    }
}
