//! Each task that somebody works on, or waits for, has exactly one **owner**: an asynchronous actor that holds the
//! task's record and is the only one to append to its log.
//!
//! An owner takes everything that waits for it as one batch: commands are applied one after the other in memory, their
//! events are appended at once, and only when they are on disk are the effects carried out and the askers answered.
//!
//! An owner that retires stops listening before it may be replaced, and does nothing after: asks that it leaves
//! unanswered go to the next one, which reads the record from the log itself.

mod actor;
mod ask;
mod registry;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use actor::Shared as OwnersParts;
pub(crate) use ask::{Ask, Detail, OwnerError, OwnerHandle};
pub(crate) use registry::{Created, Owners};
