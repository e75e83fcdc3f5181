//! One append inside a transaction.

use super::query::{FIRST_TERMINAL, LAST_SEQ, state_number};
use crate::contract::{Append, AppendError, LogError, NewEvent, ReadLimit};
use hashlink::LruCache;
use mesh_core::{MessageId, Seq, TaskId, TaskKey};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Statement, params};

/// An append, with what can be prepared before it is the writer's turn.
pub(super) struct Step {
    pub(super) append: Append,
    /// The head's control record as JSON.
    control: String,
}

impl Step {
    pub(super) fn new(append: Append) -> Result<Self, LogError> {
        let control = serde_json::to_string(&append.head.control)
            .map_err(|error| LogError::Failed(format!("control of task {}: {error}", append.head.key)))?;
        Ok(Self { append, control })
    }

    /// Bytes of its events and its control record.
    pub(super) fn bytes(&self) -> usize {
        let event =
            |event: &NewEvent| event.public.len() + event.private.as_ref().map_or(0, bytes::Bytes::len);
        self.control.len() + self.append.events.iter().map(event).sum::<usize>()
    }
}

/// Why a step was not applied.
pub(super) enum Stop {
    /// It does not fit the log. It changed nothing, and the transaction goes on.
    Refused(AppendError),
    /// The store failed. The transaction is lost.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// Where a task is in the file.
#[derive(Clone, Copy)]
struct Place {
    row: i64,
    seq: Seq,
    /// The number of the first event.
    first: Seq,
    state: i64,
    status_at: i64,
}

/// The places of the tasks that are being written to: the usual append needs no lookup.
///
/// Only the writer changes the file, so what is remembered is true as long as its transaction is. When one is lost,
/// every task in it has to be forgotten.
pub(super) struct Known(LruCache<TaskKey, Place>);

impl Known {
    pub(super) fn new(tasks: usize) -> Self {
        Self(LruCache::new(tasks.max(1)))
    }

    pub(super) fn forget(&mut self, key: &TaskKey) {
        self.0.remove(key);
    }

    fn note(&mut self, key: &TaskKey, place: Place) {
        if place.state >= FIRST_TERMINAL {
            self.0.remove(key);
        } else {
            self.0.insert(key.clone(), place);
        }
    }
}

/// The writer's statements, prepared once.
pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    create: Statement<'c>,
    created_by: Statement<'c>,
    find: Statement<'c>,
    move_head: Statement<'c>,
    change_head: Statement<'c>,
    insert_event: Statement<'c>,
    insert_body: Statement<'c>,
    in_row: usize,
    /// The row of the next new task. Rows of removed tasks are not used again while their events are being discarded.
    next_row: i64,
}

impl<'c> Statements<'c> {
    /// Public parts of more than `in_row` bytes are kept apart.
    pub(super) fn prepare(connection: &'c Connection, in_row: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            create: connection.prepare(
                "INSERT INTO heads (tenant, task, context, owner, agent, message, state, status_at, seq, control, id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?,
            created_by: connection.prepare(
                "SELECT task FROM heads WHERE tenant = ?1 AND owner = ?2 AND agent = ?3 AND message = ?4",
            )?,
            find: connection
                .prepare("SELECT id, seq, state, status_at, first FROM heads WHERE tenant = ?1 AND task = ?2")?,
            // An update of an indexed column rewrites its indexes even if the value stays, hence two statements.
            move_head: connection.prepare("UPDATE heads SET seq = ?2, control = ?3 WHERE id = ?1 AND seq = ?4")?,
            change_head: connection.prepare(
                "UPDATE heads SET seq = ?2, control = ?3, state = ?5, status_at = ?6 WHERE id = ?1 AND seq = ?4",
            )?,
            insert_event: connection
                .prepare("INSERT INTO events (id, public, private, size) VALUES (?1 << 32 | ?2, ?3, ?4, ?5)")?,
            insert_body: connection.prepare("INSERT INTO bodies (id, body) VALUES (?1 << 32 | ?2, ?3)")?,
            in_row,
            next_row: connection.query_row(
                "SELECT 1 + max(ifnull((SELECT max(id) FROM heads), 0), ifnull((SELECT max(last_id >> 32) FROM discarded), 0))",
                (),
                |row| row.get(0),
            )?,
        })
    }

    /// Applies one step. Returns the number of the task's last event.
    pub(super) fn apply(&mut self, known: &mut Known, step: &Step) -> Result<Seq, Stop> {
        let Append { expected_seq: expected, events, head, creates } = &step.append;
        let seq = expected.saturating_add(events.len() as Seq);
        if seq > LAST_SEQ {
            return Err(Stop::Refused(match self.find(&head.key)? {
                Some(place) if place.seq == *expected => {
                    LogError::Full(format!("task {} can have no more than {LAST_SEQ} events", head.key))
                        .into()
                }
                other => conflict(*expected, other),
            }));
        }
        let place = if *expected == 0 {
            Place { row: self.create(step, creates.as_ref())?, ..place_of(step, seq) }
        } else {
            let row = self.update(known, step, seq)?;
            Place { row, ..place_of(step, seq) }
        };
        for (event, number) in events.iter().zip(expected + 1..) {
            self.insert(place.row, number.cast_signed(), event)?;
        }
        known.note(&head.key, place);
        Ok(seq)
    }

    fn insert(&mut self, row: i64, number: i64, event: &NewEvent) -> rusqlite::Result<()> {
        let (public, size) = in_row(&event.public, self.in_row);
        if size.is_some() {
            self.insert_body.execute(params![row, number, &event.public[..]])?;
        }
        self.insert_event.execute(params![row, number, public, event.private.as_deref(), size])?;
        Ok(())
    }

    fn create(&mut self, step: &Step, message: Option<&MessageId>) -> Result<i64, Stop> {
        let Append { events, head, .. } = &step.append;
        if events.is_empty() {
            return Err(match self.refusal(step, message)? {
                Some(refused) => Stop::Refused(refused),
                None => {
                    Stop::Refused(LogError::Failed("a task begins with at least one event".to_owned()).into())
                }
            });
        }
        let created = self.create.execute(params![
            head.key.tenant.as_str(),
            head.key.task.as_str(),
            head.context_id.as_str(),
            head.control.owner.id.as_str(),
            head.control.agent.as_str(),
            message.map(MessageId::as_str),
            state_number(head.state),
            head.status_at.millis(),
            (events.len() as Seq).cast_signed(),
            step.control,
            self.next_row,
        ]);
        match created {
            Ok(_) => {
                self.next_row += 1;
                Ok(self.next_row - 1)
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(self.refusal(step, message)?.map_or(Stop::Broken(error), Stop::Refused))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why a task cannot be created: its message has made one, or there is one of its name.
    fn refusal(&mut self, step: &Step, message: Option<&MessageId>) -> rusqlite::Result<Option<AppendError>> {
        let head = &step.append.head;
        if let Some(message) = message {
            let control = &head.control;
            let (owner, agent) = (control.owner.id.as_str(), control.agent.as_str());
            let first: Option<String> = self
                .created_by
                .query_row(params![head.key.tenant.as_str(), owner, agent, message.as_str()], |row| {
                    row.get(0)
                })
                .optional()?;
            if let Some(first) = first {
                return Ok(Some(AppendError::Duplicate(TaskId::from(first))));
            }
        }
        let place = self.find(&head.key)?;
        Ok(place.map(|place| conflict(0, Some(place))))
    }

    fn update(&mut self, known: &mut Known, step: &Step, seq: Seq) -> Result<i64, Stop> {
        let Append { expected_seq: expected, head, .. } = &step.append;
        let place = match known.0.get(&head.key) {
            Some(place) => Some(*place),
            None => self.find(&head.key)?,
        };
        let place = match place {
            // Its last event stands for all, and is the last for ever.
            Some(Place { seq, first, .. }) if seq == *expected && first > 1 => {
                return Err(Stop::Refused(LogError::Trimmed { first }.into()));
            }
            Some(place) if place.seq == *expected => place,
            other => {
                return Err(Stop::Refused(conflict(*expected, other)));
            }
        };
        let (state, status_at) = (state_number(head.state), head.status_at.millis());
        let (now, before) = (seq.cast_signed(), expected.cast_signed());
        let changed = if (state, status_at) == (place.state, place.status_at) {
            self.move_head.execute(params![place.row, now, step.control, before])?
        } else {
            self.change_head.execute(params![place.row, now, step.control, before, state, status_at])?
        };
        if changed == 1 {
            Ok(place.row)
        } else {
            known.forget(&head.key);
            let why = format!("task {} was changed by somebody else", head.key);
            Err(Stop::Refused(LogError::Failed(why).into()))
        }
    }

    fn find(&mut self, key: &TaskKey) -> rusqlite::Result<Option<Place>> {
        self.find
            .query_row(params![key.tenant.as_str(), key.task.as_str()], |row| {
                let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
                Ok(Place {
                    row: row.get(0)?,
                    seq: number(1)?,
                    first: number(4)?,
                    state: row.get(2)?,
                    status_at: row.get(3)?,
                })
            })
            .optional()
    }
}

/// What of a public part is in the event's own row, and the size of the whole if that is kept apart.
pub(super) fn in_row(public: &[u8], most: usize) -> (&[u8], Option<u32>) {
    if public.len() <= most.max(ReadLimit::LONGEST_BEGINNING) {
        return (public, None);
    }
    (&public[..ReadLimit::LONGEST_BEGINNING], u32::try_from(public.len()).ok())
}

fn conflict(expected: Seq, place: Option<Place>) -> AppendError {
    AppendError::Conflict { expected, actual: place.map_or(0, |place| place.seq) }
}

fn place_of(step: &Step, seq: Seq) -> Place {
    let head = &step.append.head;
    Place { row: 0, seq, first: 1, state: state_number(head.state), status_at: head.status_at.millis() }
}
