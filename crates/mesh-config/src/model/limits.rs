use std::time::Duration;

use crate::kinds::{Count, Size, Timeout};
use crate::section::{all_defaults, section};

section! {
    /// Bounds on everything that is held in memory.
    pub struct Limits {
        /// Largest request body.
        body: u64 as Size<1024> = "4MiB",
        /// Deepest JSON in a request.
        depth: usize as Count<usize, 4, 1024> = "64",
        /// Open connections per listener.
        connections: usize as Count<usize, 1, 1_000_000> = "4096",
        /// Longest line that a worker may write.
        worker_line: u64 as Size<1024> = "16MiB",
        /// Largest event of a task.
        event: u64 as Size<1024> = "1MiB",
        /// All events of one task together.
        task_bytes: u64 as Size<1024> = "64MiB",
        /// Number of events of one task.
        task_events: u64 as Count<u64, 10, 1_000_000_000> = "100000",
        /// How long a client may take to send the head of a request.
        header_timeout: Duration as Timeout = "10s",
        /// How long an event stream may be silent before a comment shows that it is alive.
        keep_alive: Duration as Timeout = "15s",
        /// Smallest answer that is compressed, for clients that take it compressed.
        compress_from: u64 as Size<0> = "8KiB",
        /// Subscribers of one task.
        streams_per_task: usize as Count<usize, 1, 1_000_000> = "10000",
        /// Largest result of a tool.
        tool_result: u64 as Size<1024> = "16MiB",
        /// Largest value that is kept in a context's memory, as JSON.
        context_entry: u64 as Size<1024, { 192 << 10 }> = "64KiB",
        /// Entries in the memory of a context.
        context_entries: usize as Count<usize, 1, 10_000> = "256",
        /// Longest key of an entry, in bytes.
        context_key: usize as Count<usize, 1, 256> = "128",
    }
}

all_defaults!(Limits);
