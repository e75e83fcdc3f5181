//! Answers that are kept, for calls that the configuration or the server calls safe to answer from memory.
//!
//! An answer belongs to a tenant and, unless it is public, to a principal; that is part of its [`Key`]. While one caller
//! asks, others who want the same wait for its answer ([`Seat`]). What has changed is not looked for and removed: the key
//! has the generation of what it is about, and a new generation makes old answers unreachable.

mod canonical;
mod entry;
mod flights;
mod generations;
mod key;
mod store;

pub(crate) use entry::{Entry, Hints, keepable};
pub(crate) use flights::{Lead, Seat};
pub(crate) use generations::Generations;
pub(crate) use key::{Key, KeyParts};
pub(crate) use store::{Cache, CacheCounts};
