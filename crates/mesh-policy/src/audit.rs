//! The audit trail: one record per call, and the places records go to.

mod entry;
mod jsonl;
mod memory;
mod record;

pub use entry::AuditEntry;
pub use jsonl::{JsonlAudit, JsonlSettings};
pub use memory::MemoryAudit;
pub use record::{AuditRecord, DecisionRecord, Outcome};

/// Why a call cannot be audited, and so must not happen.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// More records wait to be written than the queue holds.
    #[error("the audit queue is full")]
    Full,
    /// Writing fails at the moment; it is tried again.
    #[error("audit records cannot be written: {0}")]
    Failing(String),
    /// The sink is closed.
    #[error("the audit log is closed")]
    Closed,
    /// The file cannot be opened.
    #[error("cannot open the audit log {path}")]
    Open {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes audit records.
///
/// ```text
/// reserve() ── Err: nowhere to put a record, so the call is refused before it does anything
///     └─ Ok(slot) ── the call runs ── slot.commit(record): cannot fail and does not wait
/// ```
///
/// Contract: a slot that was given out has room for its record, so `commit` works in `Drop` too; a sink whose
/// writes fail gives out no slots until a write succeeds again; `flush` returns when everything committed before it
/// was written, or says that it was not.
#[async_trait::async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Keeps room for one record.
    fn reserve(&self) -> Result<Box<dyn AuditSlot>, AuditError>;

    /// Waits until everything committed so far is written.
    async fn flush(&self) -> Result<(), AuditError>;
}

/// Room for one record. Dropped without a record, it gives the room back.
pub trait AuditSlot: Send + 'static {
    /// Hands the record over.
    fn commit(self: Box<Self>, record: AuditRecord);
}
