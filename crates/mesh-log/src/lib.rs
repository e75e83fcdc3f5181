//! The durable event log: every task is a numbered list of events and one head row.
//!
//! - [`EventLog`]: the contract, with a drawing of how an append reaches its subscribers and the ten promises that
//!   every provider keeps. `tests/log/contract.rs` holds the tests of those promises; each provider is run through it.
//! - [`SqliteLog`]: one file, one writer thread, one fsync for many appends. For one machine.
//! - [`JetStreamLog`]: a stream in NATS, shared by any number of processes.
//! - [`MemoryLog`]: nothing on disk. For `--ephemeral` and for tests.
//! - [`Records`]: small versioned records beside the tasks, in the same store.
//!
//! Inside `sqlite`:
//!
//! ```text
//!   mod.rs      the provider: queue in front of the writer, the cache in front of the readers
//!   options.rs  every bound and setting, with its name          open.rs     lock, identity, health, schema, pragmas
//!   writer.rs   the thread: batch, commit, publish, answer      apply.rs    one append inside a transaction
//!   readers.rs  read connections on blocking threads            query.rs    what they ask
//!   trim.rs     trimming, and giving room back                  error.rs    what SQLite says, in words of the contract
//!   migrate.rs  the formats of the file                         store/      from outside: doctor, backup, restore
//! ```
//!
//! Inside `jetstream` (streams and subjects: `docs/jetstream.md`):
//!
//! ```text
//!   mod.rs      the provider: what is answered from memory, and what the server is asked
//!   options.rs  every bound and setting, with its name          names.rs    stream and subjects
//!   link.rs     the connection and the stream                   frame.rs    one append as one message
//!   publish.rs  append, and what became of it                   fetch.rs    reading frames
//!   index.rs    the heads of all tasks                          follow.rs   the one consumer
//!   trim.rs     trimming: one message instead of all            examine.rs  from outside: doctor
//! ```
//!
//! Both: `rings.rs` (recent events in memory), `tails.rs` (who follows which task), `soundness.rs` (what must be true of a
//! task), `findings.rs` (what is not).

mod contract;
mod findings;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod jetstream;
mod memory;
mod records;
mod rings;
mod soundness;
mod sqlite;
mod tails;

pub use contract::{
    Append, AppendError, Ended, EventLog, ListQuery, LogError, NewEvent, Page, PageCursor, Pressure,
    ReadLimit, StoredEvent, TaskHead, Trim,
};
pub use findings::{Examination, Finding, Severity, StoreFacts};
pub use jetstream::{JetStreamLog, JetStreamOptions};
pub use memory::MemoryLog;
pub use records::{Expect, LONGEST_VALUE, PutError, Record, RecordKey, Records, Space};
pub use rings::TailCache;
pub use soundness::TaskFault;
pub use sqlite::{
    Attendant, Backup, Durability, Progress, RecordCheck, Restored, SqliteLog, SqliteOptions, StoreFile,
    Usage,
};
