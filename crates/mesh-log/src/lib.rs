//! The durable event log: every task is a numbered list of events and one head row.
//!
//! - [`EventLog`]: the contract, with a drawing of how an append reaches its subscribers and the eight promises that
//!   every provider keeps. `tests/log/contract.rs` holds the tests of those promises; each provider is run through it.
//! - [`SqliteLog`]: one file, one writer thread, one fsync for many appends. For one machine.
//! - [`MemoryLog`]: nothing on disk. For `--ephemeral` and for tests.
//!
//! Inside `sqlite`:
//!
//! ```text
//!   mod.rs      the provider: queue in front of the writer, the cache in front of the readers
//!   options.rs  every bound and setting, with its name          open.rs     lock, identity, health, schema, pragmas
//!   writer.rs   the thread: batch, commit, publish, answer      apply.rs    one append inside a transaction
//!   readers.rs  read connections on blocking threads            query.rs    what they ask
//!   rings.rs    recent events in memory                         error.rs    what SQLite says, in words of the contract
//! ```

mod contract;
mod memory;
mod sqlite;
mod tails;

pub use contract::{
    Append, AppendError, EventLog, ListQuery, LogError, NewEvent, Page, PageCursor, ReadLimit, StoredEvent,
    TaskHead,
};
pub use memory::MemoryLog;
pub use sqlite::{Durability, SqliteLog, SqliteOptions, TailCache, Usage};
