//! What is wrong with a store: the file, the tables, every task, every record.

use super::{Attendant, Progress, StoreFile, beside, schema, size_of};
use crate::contract::{LogError, StoredEvent, TaskHead};
use crate::findings::{Examination, Finding, RESTORE, Severity, StoreFacts};
use crate::records::{Record, RecordKey, Space};
use crate::soundness::TaskCheck;
use crate::sqlite::error::translate;
use crate::sqlite::migrate::FORMAT;
use crate::sqlite::open::{Identity, identity};
use crate::sqlite::query::{HEAD, LAST_SEQ, body, head_of};
use bytes::Bytes;
use mesh_core::Tenant;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Result, params};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Faults of the file that SQLite tells of.
const MOST_PAGES: u32 = 20;
/// Tasks that are looked at as of one moment: the file's write-ahead log cannot shrink meanwhile.
const PAGE: u32 = 64;
/// Bytes of a write-ahead log that is larger than it gets by itself.
const LARGE_WAL: u64 = 256 << 20;
/// Bytes that are free in a file before it is worth a word.
const MUCH_FREE: u64 = 64 << 20;

const NOT_OURS: &str = "name the directory or the file of a store of Agent Mesh";
const NEWER: &str = "use the agentmesh that wrote it, or a newer one";
const LEAVE: &str = "nothing is lost; tell the developers of Agent Mesh how it came about";
const FOREIGN_OBJECT: &str = "somebody else has changed the file; undo that, or restore a backup";

impl StoreFile {
    /// Checks the whole store, also while a mesh uses it. Changes nothing. Takes as long as reading all of the file twice;
    /// memory for one task without its artifacts.
    ///
    /// # Errors
    /// The file cannot be opened or read at all. What is wrong inside of it is no error, but a finding.
    pub fn examine(&self, with: &mut Attendant<'_>) -> std::result::Result<Examination, LogError> {
        self.must_be_there()?;
        let mut found = Examination::default();
        found.facts.file_bytes = size_of(&self.path);
        found.facts.wal_bytes = size_of(&beside(&self.path, "-wal"));
        let opened = self.connect().and_then(|connection| Ok((identity(&connection)?, connection)));
        let (format, connection) = match opened {
            Ok((Identity::Ours(version), connection)) => (version, connection),
            Ok((Identity::Newer(version), _)) => {
                let what = format!("has format {version}; this agentmesh knows formats up to {FORMAT}");
                found.error("newer-format", what, NEWER);
                return Ok(found);
            }
            Ok((Identity::New | Identity::Foreign, _)) => {
                found.error("not-a-store", "is empty, or a database of another program", NOT_OURS);
                return Ok(found);
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                found.error("not-a-database", "is not a database, or its first page is damaged", NOT_OURS);
                return Ok(found);
            }
            Err(error) if is_damage(&error) => {
                match pages_in_header(&self.path) {
                    Some(pages) if pages > found.facts.file_bytes => found.cut_off(pages),
                    _ => found.error("damaged-file", error.to_string(), RESTORE),
                }
                return Ok(found);
            }
            Err(error) => return Err(translate(&self.path, &error)),
        };
        found.facts.format = format;
        let mut examiner = Examiner { file: self, connection: &connection, found, format };
        examiner.part("file", |this| this.sizes())?;
        (with.progress)(Progress::Pages(examiner.found.facts.file_bytes));
        examiner.part("file", |this| this.pages())?;
        examiner.part("tables", |this| this.tables())?;
        examiner.part("tasks", |this| this.tasks(with))?;
        examiner.part("events", |this| this.strays())?;
        if format >= 2 {
            examiner.part("records", |this| this.records(with))?;
        }
        Ok(examiner.found)
    }
}

struct Examiner<'a> {
    file: &'a StoreFile,
    connection: &'a Connection,
    found: Examination,
    format: i32,
}

impl Examiner<'_> {
    /// Runs one part. What is damaged ends the part, and is a finding.
    fn part(
        &mut self,
        name: &str,
        look: impl FnOnce(&mut Self) -> Result<()>,
    ) -> std::result::Result<(), LogError> {
        match look(self) {
            Ok(()) => Ok(()),
            Err(error) if is_damage(&error) => {
                self.found.error("damaged-file", format!("the {name} cannot be read: {error}"), RESTORE);
                Ok(())
            }
            Err(error) => Err(translate(&self.file.path, &error)),
        }
    }

    fn sizes(&mut self) -> Result<()> {
        let number = |pragma: &str| -> Result<u64> {
            self.connection.pragma_query_value(None, pragma, |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
        };
        let page = number("page_size")?;
        let (pages, free) = (number("page_count")? * page, number("freelist_count")? * page);
        self.found.facts.free_bytes = free;
        let StoreFacts { file_bytes: file, wal_bytes: wal, .. } = self.found.facts;
        // Of a store in use, some pages may be in the log only.
        if wal == 0 && file < pages {
            self.found.cut_off(pages);
        }
        if wal > LARGE_WAL {
            self.found.warning(
                "large-wal",
                format!("the write-ahead log has {} MiB", wal >> 20),
                "some program reads the store without an end; it shrinks when that stops",
            );
        }
        if free > MUCH_FREE && free > file / 2 {
            self.found.warning(
                "much-free",
                format!("{} MiB of {} are free", free >> 20, file >> 20),
                "they will be used again; to give them back, stop the mesh and run `sqlite3 FILE VACUUM`",
            );
        }
        Ok(())
    }

    fn pages(&mut self) -> Result<()> {
        let mut check = self.connection.prepare(&format!("PRAGMA integrity_check({MOST_PAGES})"))?;
        let verdicts: Vec<String> = check.query_map((), |row| row.get(0))?.collect::<Result<_>>()?;
        for verdict in verdicts.iter().flat_map(|verdict| verdict.lines()) {
            if verdict != "ok" && !verdict.starts_with("***") {
                self.found.error("damaged-file", verdict, RESTORE);
            }
        }
        Ok(())
    }

    fn tables(&mut self) -> Result<()> {
        for difference in schema::differences(self.connection, self.format)? {
            self.found.error("wrong-tables", difference, FOREIGN_OBJECT);
        }
        Ok(())
    }

    /// Every task, some at a time.
    fn tasks(&mut self, with: &mut Attendant<'_>) -> Result<()> {
        let (tasks, unfinished): (i64, i64) = self.connection.query_row(
            "SELECT count(*), count(*) FILTER (WHERE state < 4) FROM heads",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let tasks = tasks.unsigned_abs();
        (self.found.facts.tasks, self.found.facts.unfinished) = (tasks, unfinished.unsigned_abs());
        let (mut after, mut checked) = (i64::MIN, 0);
        loop {
            let moment = self.connection.unchecked_transaction()?;
            let columns =
                if self.format >= 4 { HEAD.to_owned() } else { HEAD.replace("first", "1 AS first") };
            let sql = format!(
                "SELECT {columns}, id, tenant || '/' || task AS named FROM heads WHERE id > ?1 ORDER BY id LIMIT ?2"
            );
            let mut heads = self.connection.prepare_cached(&sql)?;
            let mut rows = heads.query(params![after, PAGE])?;
            let before = after;
            while let Some(row) = rows.next()? {
                after = row.get("id")?;
                checked += 1;
                match head_of(row) {
                    Ok(head) => self.task(after, &head)?,
                    Err(error) => self.found.note(Finding {
                        severity: Severity::Error,
                        kind: "unreadable-head",
                        task: row.get("named").ok(),
                        what: error.to_string(),
                        advice: RESTORE,
                    }),
                }
            }
            moment.finish()?;
            (with.progress)(Progress::Tasks(checked, tasks.max(checked)));
            if after == before {
                return Ok(());
            }
        }
    }

    fn task(&mut self, id: i64, head: &TaskHead) -> Result<()> {
        let size = if self.format >= 3 { "size" } else { "NULL" };
        let sql = format!(
            "SELECT id, public, private, {size} FROM events
             WHERE id >= (?1 << 32 | ?2) AND id < ?1 + 1 << 32 ORDER BY id"
        );
        let mut check = TaskCheck::new(head);
        let mut events = self.connection.prepare_cached(&sql)?;
        let mut rows = events.query([id, head.first.cast_signed()])?;
        while let Some(row) = rows.next()? {
            self.found.facts.events += 1;
            let (event, in_row) = (row.get::<_, i64>(0)?, row.get_ref(1)?.as_blob()?);
            let public = match row.get::<_, Option<u32>>(3)? {
                None => Bytes::copy_from_slice(in_row),
                Some(size) => {
                    self.found.facts.large_events += 1;
                    // What is missing or another one is found to be unreadable.
                    let whole = body(self.connection, event).unwrap_or_default();
                    if u32::try_from(whole.len()) == Ok(size) && whole.starts_with(in_row) {
                        whole
                    } else {
                        Bytes::new()
                    }
                }
            };
            let private = row.get_ref(2)?.as_blob_or_null()?.map(Bytes::copy_from_slice);
            check.event(&StoredEvent { seq: event.unsigned_abs() & LAST_SEQ, public, private });
        }
        self.found.faults(&head.key, check.verdict());
        Ok(())
    }

    /// Events without a task, and contents without an event.
    fn strays(&mut self) -> Result<()> {
        let mut next =
            self.connection.prepare("SELECT id >> 32 FROM events WHERE id >= ?1 ORDER BY id LIMIT 1")?;
        // What is discarded is deleted step by step.
        let discarded = if self.format >= 4 {
            "UNION ALL SELECT 1 FROM discarded WHERE ?1 BETWEEN first_id >> 32 AND last_id >> 32"
        } else {
            ""
        };
        let mut known = self.connection.prepare(&format!("SELECT 1 FROM heads WHERE id = ?1 {discarded}"))?;
        let (mut from, mut strays) = (i64::MIN, 0);
        while let Some(head) = next.query_row([from], |row| row.get::<_, i64>(0)).optional()? {
            strays += u64::from(!known.exists([head])?);
            let Some(beyond) = head.checked_add(1).and_then(|head| head.checked_mul(1 << 32)) else { break };
            from = beyond;
        }
        if strays > 0 {
            self.found.warning(
                "stray-events",
                format!("there are events of {strays} tasks that have no head"),
                LEAVE,
            );
        }
        if self.format >= 3 {
            let bodies: i64 = self.connection.query_row(
                "SELECT count(*) FROM bodies b WHERE NOT EXISTS
                 (SELECT 1 FROM events e WHERE e.id = b.id AND e.size IS NOT NULL)",
                (),
                |row| row.get(0),
            )?;
            if bodies > 0 {
                self.found.warning("stray-bodies", format!("{bodies} contents belong to no event"), LEAVE);
            }
        }
        Ok(())
    }

    fn records(&mut self, with: &mut Attendant<'_>) -> Result<()> {
        let last: i64 = self.connection.query_row("SELECT max(last) FROM versions", (), |row| row.get(0))?;
        let mut records = self.connection.prepare(
            "SELECT space, tenant, name, version, value FROM records ORDER BY space, tenant, name",
        )?;
        let mut rows = records.query(())?;
        while let Some(row) = rows.next()? {
            self.found.facts.records += 1;
            let (space, tenant, name): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let version: i64 = row.get(3)?;
            let shown = format!("record {space}/{tenant}/{name}");
            if version > last {
                self.found.error(
                    "wrong-version",
                    format!("{shown} has version {version} of {last}"),
                    RESTORE,
                );
            }
            let Some(space) = Space::ALL.into_iter().find(|known| known.as_str() == space) else {
                self.found.error("unknown-record", format!("{shown} is of no known kind"), FOREIGN_OBJECT);
                continue;
            };
            let record = Record {
                key: RecordKey::new(space, Tenant::from(tenant), name),
                value: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
                version: version.unsigned_abs(),
            };
            if let Err(why) = (with.record)(&record) {
                self.found.error("unreadable-record", format!("{shown} cannot be read: {why}"), RESTORE);
            }
        }
        Ok(())
    }
}

/// Bytes that a file must have by its header. For a file that SQLite cannot open, and nobody has open therefore.
fn pages_in_header(path: &Path) -> Option<u64> {
    let mut header = [0; 100];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    let size = u64::from(u16::from_be_bytes([header[16], header[17]]));
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    // 1 stands for 65536, which has no place there.
    header.starts_with(b"SQLite format 3\0").then(|| pages * if size == 1 { 65_536 } else { size })
}

/// Whether SQLite, or a row, says that the file is damaged; anything else is the system's fault or a passing one.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match error {
        // Unknown: tables or columns that are missing.
        E::SqliteFailure(cause, _) | E::SqlInputError { error: cause, .. } => {
            matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        }
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..)
        | E::QueryReturnedNoRows => true,
        _ => false,
    }
}
