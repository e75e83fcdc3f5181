//! What belongs to a context: its tasks in order, and a small memory that the agents at work in it share.
//!
//! ```text
//!   worker line ──▶ call ──▶ memory ──▶ records of mesh-log (Space::Context)
//!                       └──▶ history ─▶ heads and events of mesh-log
//!   client ──▶ service ──▶ memory (reads only)
//! ```
//!
//! - `key`: whose context it is, and what its records are called.
//! - `entry`: an entry as it is stored, and as it is shown.
//! - `memory`: reading and writing entries, within the limits and only as the current attempt.
//! - `history`: the tasks of a context with what was said in them.
//! - `call`: what a worker asks of them.

mod call;
mod entry;
mod history;
mod key;
mod memory;

pub(crate) use call::{ContextCall, HistoryCall, MemoryCall};
pub(crate) use entry::{Entry, EntryPage};
pub(crate) use key::ContextKey;
pub(crate) use memory::MAX_PAGE;

use crate::owner::Owners;
use crate::settings::HostSettings;
use mesh_core::{Clock, HostId};
use mesh_log::EventLog;
use std::sync::Arc;

/// The contexts of an agent's tasks.
pub(crate) struct Contexts {
    pub(crate) settings: Arc<HostSettings>,
    /// Who this host is to the others.
    pub(crate) host: HostId,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) owners: Owners,
    pub(crate) clock: Arc<dyn Clock>,
}
