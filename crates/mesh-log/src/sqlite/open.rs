//! Opening a store: nobody else has it, it is ours, and it is sound.

use super::error::{RESTORE, refused, translate};
use super::migrate::{FORMAT, migrate};
use super::options::{Durability, SqliteOptions};
use crate::contract::LogError;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `AMLG`: an Agent Mesh log, in the header of the file.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"AMLG");
/// Larger pages make fewer of them for a task's events; smaller ones make less to write for a head.
const PAGE_SIZE: u32 = 4096;
/// Files up to this size are checked whole when they are opened (about half a second at most).
const CHECKED_WHOLE: u64 = 64 << 20;
/// Of larger files, this many of the newest tasks are checked.
const CHECKED_TASKS: u32 = 256;
/// The write-ahead log is cut back to this size when it has grown beyond it.
const WAL_KEPT: u64 = 64 << 20;
/// How long a connection waits for another one. They hardly ever meet: one writes, the others read the write-ahead log.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for somebody who lets go of the store. A process that is being started has a copy of every lock of
/// its parent until it runs its own program.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// A read connection's page cache, in KiB.
const READER_CACHE: u64 = 2048;

/// An event's id is its task's `id << 32 | seq`: the events of a task lie together and in order in the table itself. A
/// table with the key (head, seq) and without row ids says the same in plainer words, but was measured to be slower, by
/// a twentieth for events of 300 bytes and by two fifths for events of 1,500, which it keeps on pages of their own.
///
/// The indexes of listings carry agent and state so that a listing's total is counted in the index alone (about 0.2 ms
/// for 1,000 tasks of the owner, a third of what it costs otherwise).
///
/// States below [`FIRST_TERMINAL`](super::query::FIRST_TERMINAL) have not ended; the partial index says it with a
/// literal, as SQLite wants it.
pub(super) const SCHEMA: &str = "
CREATE TABLE heads (
    id        INTEGER PRIMARY KEY CHECK (id < 0x80000000),
    tenant    TEXT NOT NULL,
    task      TEXT NOT NULL,
    context   TEXT NOT NULL,
    owner     TEXT NOT NULL,
    agent     TEXT NOT NULL,
    message   TEXT,
    state     INTEGER NOT NULL,
    status_at INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    control   TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX heads_by_key ON heads (tenant, task);
CREATE UNIQUE INDEX heads_by_message ON heads (tenant, owner, agent, message) WHERE message IS NOT NULL;
CREATE INDEX heads_by_status ON heads (tenant, status_at DESC, task DESC, agent, state);
CREATE INDEX heads_by_owner ON heads (tenant, owner, status_at DESC, task DESC, agent, state);
CREATE INDEX heads_by_context ON heads (tenant, context);
CREATE INDEX heads_unfinished ON heads (agent, task, tenant) WHERE state < 4;
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    public  BLOB NOT NULL,
    private BLOB
) STRICT;
";

/// What is held while a store is open for writing. Dropping it lets the next one in.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
    pub(super) lock: File,
}

/// Opens or creates the store.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Opened, LogError> {
    let failed = |error: io::Error| LogError::Failed(format!("{}: {error}", path.display()));
    let directory = directory_of(path);
    create_directory(directory).map_err(failed)?;
    let lock = lock(path)?;
    create_file(path, directory).map_err(failed)?;
    let say = |error: rusqlite::Error| translate(path, &error);
    let writer = connect(path).map_err(say)?;
    let version = identify(&writer, path)?;
    configure_writer(&writer, options).map_err(say)?;
    if version == 0 {
        create_schema(&writer).map_err(say)?;
    }
    migrate(&writer, path, version.max(1))?;
    check_health(&writer, path)?;
    let readers =
        (0..options.readers.max(1)).map(|_| connect_reader(path)).collect::<Result<_, _>>().map_err(say)?;
    Ok(Opened { writer, readers, lock })
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE.cast_signed())?;
    Ok(connection)
}

/// Whose a file is.
pub(super) enum Identity {
    /// Nobody's yet: it is empty.
    New,
    /// Ours, with the version of its format.
    Ours(i32),
    /// Ours, of a later version than this program knows.
    Newer(i32),
    /// A database of another program.
    Foreign,
}

/// Reads whose a file is.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    Ok(match (number("application_id")?, number("user_version")?, objects) {
        (0, 0, 0) => Identity::New,
        (APPLICATION_ID, version @ 1..=FORMAT, _) => Identity::Ours(version),
        (APPLICATION_ID, newer, _) if newer > FORMAT => Identity::Newer(newer),
        _ => Identity::Foreign,
    })
}

/// The version of the file's format, 0 for a new one; or why it is not for us.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<i32, LogError> {
    match identity(connection).map_err(|error| translate(path, &error))? {
        Identity::New => Ok(0),
        Identity::Ours(version) => Ok(version),
        Identity::Newer(newer) => Err(refused(
            path,
            &format!(
                "has format {newer}, but this agentmesh knows formats up to {FORMAT}; \
                 run the version that wrote it, or choose another directory"
            ),
        )),
        Identity::Foreign => Err(refused(
            path,
            "is a database of another program; move the file away, or choose another directory",
        )),
    }
}

fn configure_writer(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let set = |pragma: &str, value: i64| connection.pragma_update(None, pragma, value);
    // Before the file has a page, and so before anything else.
    set("page_size", i64::from(PAGE_SIZE))?;
    // So that room can be given back in small steps. A file that was made without it keeps its ways, and its size.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    // The pragma answers with the mode that is in force; a file system without shared memory would keep the old one.
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let unable = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        let why = "the file system cannot hold a write-ahead log; choose a directory on a local disk";
        return Err(rusqlite::Error::SqliteFailure(unable, Some(why.to_owned())));
    }
    connection.pragma_update(
        None,
        "synchronous",
        match options.durability {
            Durability::Full => "full",
            Durability::Relaxed => "normal",
        },
    )?;
    // The writer thread runs checkpoints itself, between two batches.
    set("wal_autocheckpoint", 0)?;
    set("journal_size_limit", WAL_KEPT.cast_signed())?;
    set("cache_size", -i64::try_from(options.page_cache.div_ceil(1024)).unwrap_or(i64::MAX))?;
    if options.max_bytes > 0 {
        let pages = (options.max_bytes / u64::from(PAGE_SIZE)).max(1);
        set("max_page_count", i64::try_from(pages).unwrap_or(i64::MAX))?;
    }
    Ok(())
}

/// The first version's schema and its identity, together or not at all; the later versions' follow in `migrate`.
fn create_schema(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; {SCHEMA} COMMIT;"
    ))
}

/// Finds damage, at a cost that does not grow without bound: small files are checked whole, of large ones the part
/// that was written last. Damage elsewhere shows itself when it is read.
fn check_health(connection: &Connection, path: &Path) -> Result<(), LogError> {
    let say = |error: rusqlite::Error| translate(path, &error);
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(say)?;
    if pages.unsigned_abs() * u64::from(PAGE_SIZE) <= CHECKED_WHOLE {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(say)?;
        if verdict != "ok" {
            return Err(refused(path, &format!("the file is damaged ({verdict}); {RESTORE}")));
        }
    }
    let torn: Option<String> = connection
        .query_row(
            "SELECT max(h.tenant || '/' || h.task) FROM (SELECT * FROM heads ORDER BY id DESC LIMIT ?1) h
             WHERE (SELECT count(*) FROM events e WHERE e.id >= (h.id << 32 | h.first) AND e.id < h.id + 1 << 32)
                   <> h.seq - h.first + 1
                OR NOT EXISTS (SELECT 1 FROM events e WHERE e.id = h.id << 32 | h.seq)",
            [CHECKED_TASKS],
            |row| row.get(0),
        )
        .map_err(say)?;
    match torn {
        None => Ok(()),
        Some(task) => {
            Err(refused(path, &format!("the file is damaged (task {task} lacks events); {RESTORE}")))
        }
    }
}

/// The exclusive right to write, for as long as the file is held. The operating system takes it back from a process
/// that dies.
pub(super) fn lock(path: &Path) -> Result<File, LogError> {
    let name = lock_path(path);
    let failed = |error: io::Error| LogError::Failed(format!("{}: {error}", name.display()));
    let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(&name)
        .map_err(failed)?;
    let begin = Instant::now();
    let mut outcome = file.try_lock();
    while matches!(outcome, Err(TryLockError::WouldBlock)) && begin.elapsed() < LOCK_PATIENCE {
        std::thread::sleep(LOCK_PAUSE);
        outcome = file.try_lock();
    }
    match outcome {
        Ok(()) => {
            file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let known = file.rewind().and_then(|()| file.read_to_string(&mut holder)).is_ok_and(|n| n > 0);
            let who = if known { format!("process {holder}") } else { "another process".to_owned() };
            Err(refused(path, &format!("is in use by {who}; stop it first, or choose another directory")))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Creates missing directories for nobody but the owner. One that exists is left as its owner made it.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Creates a missing file for nobody but the owner; SQLite gives the files beside it the same mode. Never opens one
/// that exists: to close it again would drop the locks that SQLite holds on it.
fn create_file(path: &Path, directory: &Path) -> io::Result<()> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(file) => {
            file.sync_all()?;
            sync_directory(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
