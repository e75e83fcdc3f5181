//! Trimming and removing tasks, and giving the room back. Every step is one small transaction between the appends.
//!
//! ```text
//!   trim ──▶ head and snapshot, and as many of the old events as fit into a step ── the rest: a range in `discarded`
//!   reclaim ──▶ the next part of such a range; when there is none, some free pages go back to the file system
//! ```
//!
//! A discarded event is before the first event of its task, or its task is gone: nobody reads it any more.

use crate::contract::Trim;
use mesh_core::TaskKey;
use rusqlite::{Connection, OptionalExtension, params};

use super::apply;
use super::query::FIRST_TERMINAL;

/// Events, and bytes of events, that one step deletes at most.
const STEP_EVENTS: i64 = 1024;
const STEP_BYTES: i64 = 4 << 20;
/// Free pages that are kept for what comes next (4 MiB), and how many more are given back in one step.
const SPARE_PAGES: i64 = 1024;
const STEP_PAGES: i64 = 256;
/// `auto_vacuum = incremental`.
const INCREMENTAL: i64 = 2;

/// What a step may still delete.
struct Room {
    events: i64,
    bytes: i64,
}

impl Room {
    fn new() -> Self {
        Self { events: STEP_EVENTS, bytes: STEP_BYTES }
    }
}

/// Trims or removes tasks in one transaction; returns those that it changed, and before that tells who has to forget them:
/// whoever sees the new head must not be given the events of before.
pub(super) fn trim(
    connection: &Connection,
    tasks: &[Trim],
    in_row: usize,
    forget: impl FnOnce(&[TaskKey]),
) -> rusqlite::Result<Vec<TaskKey>> {
    // Dropped without being committed, it is rolled back.
    let transaction = connection.unchecked_transaction()?;
    let mut room = Room::new();
    let mut changed = Vec::new();
    for task in tasks {
        if trim_one(&transaction, task, in_row, &mut room)? {
            changed.push(task.key.clone());
        }
    }
    forget(&changed);
    transaction.commit()?;
    Ok(changed)
}

fn trim_one(connection: &Connection, task: &Trim, in_row: usize, room: &mut Room) -> rusqlite::Result<bool> {
    let found: Option<(i64, i64, i64, i64)> = connection
        .prepare_cached("SELECT id, seq, first, state FROM heads WHERE tenant = ?1 AND task = ?2")?
        .query_row(params![task.key.tenant.as_str(), task.key.task.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((row, last, first, state)) = found else { return Ok(false) };
    if last.unsigned_abs() != task.seq || state < FIRST_TERMINAL {
        return Ok(false);
    }
    let id = |number: i64| row << 32 | number;
    let Some(snapshot) = &task.snapshot else {
        discard(connection, id(first), id(last), room)?;
        connection.prepare_cached("DELETE FROM heads WHERE id = ?1")?.execute([row])?;
        return Ok(true);
    };
    if first == last {
        return Ok(false);
    }
    // First what makes room.
    discard(connection, id(first), id(last - 1), room)?;
    replace(connection, id(last), snapshot, in_row)?;
    connection.prepare_cached("UPDATE heads SET first = seq WHERE id = ?1")?.execute([row])?;
    Ok(true)
}

/// Puts a snapshot in the place of an event.
fn replace(connection: &Connection, id: i64, snapshot: &[u8], most: usize) -> rusqlite::Result<()> {
    let (public, size) = apply::in_row(snapshot, most);
    // With what of it was kept apart.
    connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
    if size.is_some() {
        connection
            .prepare_cached("INSERT INTO bodies (id, body) VALUES (?1, ?2)")?
            .execute(params![id, snapshot])?;
    }
    connection
        .prepare_cached("INSERT INTO events (id, public, size) VALUES (?1, ?2, ?3)")?
        .execute(params![id, public, size])?;
    Ok(())
}

/// Deletes events by their ids, as many as there is room for, and notes the others.
fn discard(connection: &Connection, from: i64, to: i64, room: &mut Room) -> rusqlite::Result<()> {
    let mut done = from - 1;
    if room.events > 0 && room.bytes > 0 {
        let mut sizes = connection.prepare_cached(
            "SELECT id, ifnull(size, length(public)) + ifnull(length(private), 0) FROM events
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = sizes.query([from, to, room.events])?;
        done = to;
        while let Some(row) = rows.next()? {
            done = row.get(0)?;
            room.events -= 1;
            room.bytes -= row.get::<_, i64>(1)?;
            if room.bytes <= 0 {
                break;
            }
        }
        // There was room for all.
        if room.events > 0 && room.bytes > 0 {
            done = to;
        }
        drop(rows);
        connection.prepare_cached("DELETE FROM events WHERE id BETWEEN ?1 AND ?2")?.execute([from, done])?;
    }
    if done < to {
        connection
            .prepare_cached("INSERT INTO discarded (first_id, last_id) VALUES (?1, ?2)")?
            .execute([done + 1, to])?;
    }
    Ok(())
}

/// One step of giving room back; whether there is more to do.
pub(super) fn reclaim(connection: &Connection) -> rusqlite::Result<bool> {
    let left: Option<(i64, i64)> = connection
        .prepare_cached("SELECT first_id, last_id FROM discarded LIMIT 1")?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((from, to)) = left {
        let transaction = connection.unchecked_transaction()?;
        transaction.prepare_cached("DELETE FROM discarded WHERE first_id = ?1")?.execute([from])?;
        discard(&transaction, from, to, &mut Room::new())?;
        transaction.commit()?;
        return Ok(true);
    }
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("auto_vacuum")? != INCREMENTAL || number("freelist_count")? <= SPARE_PAGES {
        return Ok(false);
    }
    // It gives one page back for each row that is asked for.
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut pages = vacuum.query(())?;
    while pages.next()?.is_some() {}
    drop(pages);
    Ok(number("freelist_count")? > SPARE_PAGES)
}
