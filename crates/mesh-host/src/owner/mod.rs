//! Each task that somebody works on, or waits for, has exactly one **owner**: an asynchronous actor that holds the
//! task's record and is the only one to append to its log.
//!
//! An owner takes everything that waits for it as one batch: commands are applied one after the other in memory, their
//! events are appended at once, and only when they are on disk are the effects carried out and the askers answered.

mod actor;
mod load;
mod registry;
#[cfg(test)]
mod tests;

pub(crate) use actor::{Ask, OwnerError, OwnerHandle, Shared as OwnersParts};
pub(crate) use registry::{Created, Owners};
