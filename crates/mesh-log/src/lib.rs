//! The durable event log.
mod contract;
pub use contract::{
    Append, AppendError, EventLog, ListQuery, LogError, NewEvent, Page, PageCursor, ReadLimit, StoredEvent, TaskHead,
};
