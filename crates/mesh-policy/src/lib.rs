//! Who may do what in Agent Mesh, and the record of who did.
//!
//! - [`Authorizer`] answers whether a principal may perform an [`Action`] on a [`Resource`]. [`LocalOnly`] is the
//!   rule of a mesh without authentication: everything within the own tenant, nothing outside of it.
//! - [`AuditEntry`] makes exactly one [`AuditRecord`] out of one call, whatever becomes of the call, and gives it
//!   to an [`AuditSink`]: [`JsonlAudit`] appends to a file, [`MemoryAudit`] is for tests.

mod audit;
mod authorizer;

pub use audit::{
    AuditEntry, AuditError, AuditRecord, AuditSink, AuditSlot, DecisionRecord, JsonlAudit, JsonlSettings,
    MemoryAudit, Outcome,
};
pub use authorizer::{Action, Authorizer, Decision, LocalOnly, Resource};
