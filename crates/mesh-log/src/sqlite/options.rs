//! Settings of the SQLite provider. Everything that it holds in memory has its bound here.

use crate::rings::TailCache;

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the process and a loss of power: every commit is synced to disk before it is acknowledged.
    #[default]
    Full,
    /// A crash of the process. A loss of power may take the last moments away, for readers too; what is left is
    /// consistent.
    Relaxed,
}

/// How a [`SqliteLog`](super::SqliteLog) is run. A number that is 0 where one is needed counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// Appends that may wait for the writer; one more is answered with `Overloaded`.
    pub queue: usize,
    /// Bytes that may wait for the writer; one append more is answered with `Overloaded`.
    pub queue_bytes: usize,
    /// Appends in one commit at most.
    pub batch: usize,
    /// Read connections, each with a cache of 2 MiB and, while in use, one thread.
    pub readers: usize,
    /// Bytes of the writer's page cache.
    pub page_cache: usize,
    /// Bytes of an event's public part that are kept in its row. A larger one is kept apart, so that who goes over the
    /// rows of a task does not meet it.
    pub in_row: usize,
    /// Tasks whose position the writer remembers, so that an append to them needs no lookup.
    pub known_tasks: usize,
    /// Recent events in memory.
    pub tail_cache: TailCache,
    /// Size of the database file at most, in bytes; 0 for no bound. Beyond it, appends fail with `Full`.
    pub max_bytes: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            queue: 4096,
            queue_bytes: 64 << 20,
            batch: 512,
            readers: 4,
            page_cache: 32 << 20,
            in_row: 16 << 10,
            known_tasks: 16_384,
            tail_cache: TailCache::default(),
            max_bytes: 0,
        }
    }
}
