//! What is asked of a read connection.

use super::error::bad_row;
use crate::contract::{Ended, ListQuery, Page, PageCursor, Pressure, ReadLimit, StoredEvent, TaskHead};
use bytes::Bytes;
use mesh_core::model::TaskState;
use mesh_core::{AgentName, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

/// The columns that [`head_of`] reads.
pub(super) const HEAD: &str = "tenant, task, context, state, status_at, seq, control, first";

/// The greatest number that an event can have: the lower half of its id.
pub(super) const LAST_SEQ: Seq = u32::MAX as Seq;

/// The events after `after`; or, if they were trimmed, the number of the first that is left.
pub(super) fn read(
    connection: &Connection,
    key: &TaskKey,
    after: Seq,
    limit: ReadLimit,
) -> Result<std::result::Result<Vec<StoredEvent>, Seq>> {
    // What lies before the first event is being discarded.
    let mut statement = connection.prepare_cached(
        "SELECT e.id, e.public, e.private, e.size, h.first FROM heads h CROSS JOIN events e
         WHERE h.tenant = ?1 AND h.task = ?2 AND e.id > (h.id << 32 | max(?3, h.first - 1)) AND e.id < (h.id + 1 << 32)
         ORDER BY e.id LIMIT ?4",
    )?;
    let after = after.min(LAST_SEQ).cast_signed();
    let count = i64::try_from(limit.events.max(1)).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![key.tenant.as_str(), key.task.as_str(), after, count])?;
    let mut taken = Vec::new();
    let mut room = limit.bytes;
    while let Some(row) = rows.next()? {
        let first = row.get::<_, i64>(4)?;
        if first > after + 1 {
            return Ok(Err(first.unsigned_abs()));
        }
        let (id, in_row) = (row.get::<_, i64>(0)?, row.get_ref(1)?.as_blob()?);
        let apart: Option<u32> = row.get(3)?;
        let whole = apart.map_or(in_row.len(), |size| size as usize);
        let size = if limit.leaves_out(in_row) { 0 } else { whole };
        if !taken.is_empty() && size > room {
            break;
        }
        room = room.saturating_sub(size);
        taken.push(StoredEvent {
            seq: id.unsigned_abs() & LAST_SEQ,
            public: match apart {
                _ if size == 0 => Bytes::new(),
                None => Bytes::copy_from_slice(in_row),
                Some(_) => body(connection, id)?,
            },
            private: row.get_ref(2)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        });
    }
    Ok(Ok(taken))
}

/// The public part of an event that is kept apart from its row.
pub(super) fn body(connection: &Connection, id: i64) -> Result<Bytes> {
    connection
        .prepare_cached("SELECT body FROM bodies WHERE id = ?1")?
        .query_row([id], |row| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)))
        .optional()?
        .ok_or_else(|| bad_row("the content of an event is missing", &id))
}

/// The head of a task.
pub(super) fn head(connection: &Connection, key: &TaskKey) -> Result<Option<TaskHead>> {
    connection
        .prepare_cached(&format!("SELECT {HEAD} FROM heads WHERE tenant = ?1 AND task = ?2"))?
        .query_row(params![key.tenant.as_str(), key.task.as_str()], head_of)
        .optional()
}

/// The number of a task's last event; 0 when there is no such task.
pub(super) fn last(connection: &Connection, key: &TaskKey) -> Result<Seq> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM heads WHERE tenant = ?1 AND task = ?2")?
        .query_row(params![key.tenant.as_str(), key.task.as_str()], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0).unsigned_abs())
}

/// The task that a message created.
pub(super) fn created_by(
    connection: &Connection,
    tenant: &Tenant,
    owner: &PrincipalId,
    agent: &AgentName,
    message: &MessageId,
) -> Result<Option<TaskId>> {
    let task: Option<String> = connection
        .prepare_cached(
            "SELECT task FROM heads WHERE tenant = ?1 AND owner = ?2 AND agent = ?3 AND message = ?4",
        )?
        .query_row(params![tenant.as_str(), owner.as_str(), agent.as_str(), message.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(task.map(TaskId::from))
}

/// The heads of an agent's tasks that have not ended.
pub(super) fn unfinished(
    connection: &Connection,
    agent: &AgentName,
    after: Option<&TaskKey>,
    limit: usize,
) -> Result<Vec<TaskHead>> {
    // No id is less than the empty one, and no task has it.
    let (task, tenant) = after.map_or(("", ""), |key| (key.task.as_str(), key.tenant.as_str()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&format!(
            "SELECT {HEAD} FROM heads INDEXED BY heads_unfinished
             WHERE agent = ?1 AND state < 4 AND (task, tenant) > (?2, ?3) ORDER BY task, tenant LIMIT ?4"
        ))?
        .query_map(params![agent.as_str(), task, tenant, limit], head_of)?
        .collect()
}

/// The heads of an agent's queued tasks, those that have waited longest first.
pub(super) fn queue(connection: &Connection, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&format!(
            "SELECT {HEAD} FROM heads INDEXED BY heads_unfinished
             WHERE agent = ?1 AND state < 4 AND state = 0 ORDER BY status_at, task LIMIT ?2"
        ))?
        .query_map(params![agent.as_str(), limit], head_of)?
        .collect()
}

/// How many unfinished tasks an agent has in which state.
pub(super) fn pressure(connection: &Connection, agent: &AgentName) -> Result<Pressure> {
    let mut statement = connection.prepare_cached(
        "SELECT state, count(*), min(status_at) FROM heads INDEXED BY heads_unfinished
         WHERE agent = ?1 AND state < 4 GROUP BY state",
    )?;
    let mut rows = statement.query([agent.as_str()])?;
    let mut pressure = Pressure::default();
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(1)?.unsigned_abs();
        match row.get(0)? {
            0_i64 => {
                pressure.queued = count;
                pressure.oldest_queued = Some(Timestamp(row.get(2)?));
            }
            1 => pressure.working = count,
            _ => pressure.waiting += count,
        }
    }
    Ok(pressure)
}

/// The heads of an agent's ended tasks, those that ended first come first, at one moment.
pub(super) fn ended(
    connection: &Connection,
    agent: &AgentName,
    before: Timestamp,
    which: &Ended,
    limit: usize,
) -> Result<Vec<TaskHead>> {
    let moment = connection.unchecked_transaction()?;
    // Of tasks with at least so many events.
    let page = |trimmed: bool, events: i64, after: Option<&(Timestamp, TaskKey)>, limit: i64| {
        // No time is before the least, and no id is less than the empty one.
        let (at, task, tenant) = after
            .map_or((i64::MIN, "", ""), |(at, key)| (at.millis(), key.task.as_str(), key.tenant.as_str()));
        moment
            .prepare_cached(&format!(
                "SELECT {HEAD} FROM heads INDEXED BY heads_ended
                 WHERE agent = ?1 AND state >= 4 AND (first > 1) = ?2 AND status_at < ?3
                   AND status_at >= ?4 AND (status_at, task, tenant) > (?4, ?5, ?6) AND seq >= ?8
                 ORDER BY status_at, task, tenant LIMIT ?7"
            ))?
            .query_map(
                params![agent.as_str(), trimmed, before.millis(), at, task, tenant, limit, events],
                head_of,
            )?
            .collect::<Result<Vec<TaskHead>>>()
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match which {
        Ended::Whole { after } => page(false, 2, after.as_ref(), limit),
        Ended::Beyond { keep } => {
            let mut limit = limit;
            if *keep > 0 {
                let count: i64 = moment
                    .prepare_cached(
                        "SELECT count(*) FROM heads INDEXED BY heads_ended WHERE agent = ?1 AND state >= 4",
                    )?
                    .query_row([agent.as_str()], |row| row.get(0))?;
                limit = limit.min(count.saturating_sub_unsigned(*keep)).max(0);
            }
            let mut heads = page(false, 1, None, limit)?;
            heads.extend(page(true, 1, None, limit)?);
            heads.sort_unstable_by(|one, other| {
                let order =
                    |head: &TaskHead| (head.status_at, head.key.task.clone(), head.key.tenant.clone());
                order(one).cmp(&order(other))
            });
            heads.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(heads)
        }
    }
}

/// One page of heads, and how many there are, at one moment.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Page> {
    let (filter, mut values) = filter(query);
    let moment = connection.unchecked_transaction()?;
    let total: i64 = moment
        .prepare_cached(&format!("SELECT count(*) FROM heads {filter}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let mut sql = format!("SELECT {HEAD} FROM heads {filter}");
    if let Some(PageCursor { status_at, task }) = &query.after {
        sql.push_str(" AND (status_at, task) < (?, ?)");
        values.extend([status_at.millis().into(), text(task.as_str())]);
    }
    sql.push_str(" ORDER BY status_at DESC, task DESC LIMIT ?");
    values.push(i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX).into());
    let mut heads: Vec<TaskHead> =
        moment.prepare_cached(&sql)?.query_map(params_from_iter(&values), head_of)?.collect::<Result<_>>()?;
    let more = heads.len() > query.limit;
    heads.truncate(query.limit);
    let next = heads.last().filter(|_| more).map(PageCursor::at);
    Ok(Page { heads, total: total.unsigned_abs(), next })
}

/// The condition of a listing, with the index that serves it best: the narrowest that the query names.
fn filter(query: &ListQuery) -> (String, Vec<Value>) {
    let index = match (&query.context_id, &query.owner) {
        (Some(_), _) => "heads_by_context",
        (None, Some(_)) => "heads_by_owner",
        (None, None) => "heads_by_status",
    };
    let mut sql = format!("INDEXED BY {index} WHERE tenant = ?");
    let mut values = vec![text(query.tenant.as_str())];
    let mut narrow = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    };
    narrow("context = ?", query.context_id.as_ref().map(|context| text(context.as_str())));
    narrow("owner = ?", query.owner.as_ref().map(|owner| text(owner.as_str())));
    narrow("agent = ?", query.agent.as_ref().map(|agent| text(agent.as_str())));
    narrow("state = ?", query.state.map(|state| state_number(state).into()));
    narrow("status_at >= ?", query.status_at_or_after.map(|since| since.millis().into()));
    (sql, values)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// A head as a row has it.
pub(super) fn head_of(row: &Row<'_>) -> Result<TaskHead> {
    let string = |column| -> Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
    let key = TaskKey::new(string(0)?.into(), string(1)?.into());
    let state: i64 = row.get(3)?;
    let control = serde_json::from_str(string(6)?)
        .map_err(|error| bad_row(&format!("control of task {key}"), &error))?;
    Ok(TaskHead {
        context_id: string(2)?.into(),
        state: state_of(state).ok_or_else(|| bad_row(&format!("state of task {key}"), &state))?,
        status_at: Timestamp(row.get(4)?),
        seq: row.get::<_, i64>(5)?.unsigned_abs(),
        first: row.get::<_, i64>(7)?.unsigned_abs(),
        control,
        key,
    })
}

/// States from here on have ended. The schema's partial index and `unfinished` spell it out.
pub(super) const FIRST_TERMINAL: i64 = 4;

/// The number that stands for a state in the file; part of the format.
pub(super) fn state_number(state: TaskState) -> i64 {
    match state {
        TaskState::Submitted => 0,
        TaskState::Working => 1,
        TaskState::InputRequired => 2,
        TaskState::AuthRequired => 3,
        TaskState::Completed => FIRST_TERMINAL,
        TaskState::Failed => 5,
        TaskState::Canceled => 6,
        TaskState::Rejected => 7,
    }
}

fn state_of(number: i64) -> Option<TaskState> {
    TaskState::ALL.into_iter().find(|state| state_number(*state) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_number_and_the_terminal_ones_come_last() {
        for state in TaskState::ALL {
            assert_eq!(state_of(state_number(state)), Some(state));
            assert_eq!(state.is_terminal(), state_number(state) >= FIRST_TERMINAL);
        }
        assert_eq!(state_of(8), None);
    }
}
