//! Push notifications (A2A 1.0, section 4.3): the events of a task, posted to an address that the client names.
//!
//! ```text
//!   config + "delivered up to n"  ◀── one record per configuration (mesh-log `Records`)
//!              │
//!   log: events after n ──▶ one at a time, in order ──▶ POST ──▶ 2xx: n + 1
//!                                                         └────▶ anything else: again later, then given up
//! ```
//!
//! The log is the outbox: nothing is copied, and what was not delivered is found there after a crash. A notification may
//! come twice, never out of order.
//!
//! - `config`: what the client asks for, checked; `record`: it, and how far it has come (pure).
//! - `given_up`: what became of the configurations that were given up, for those who ask.
//! - `deliver`: one POST, to addresses that may be called (`mesh_net::Allowed`); `engine`: who is followed, and when to try again.

mod config;
mod deliver;
mod engine;
mod given_up;
mod record;

pub(crate) use config::{Authentication, PushConfig};
pub(crate) use engine::{Push, PushParts};
pub(crate) use given_up::GivenUp;

use record::PushRecord;

/// Whether a record of the space [`Push`](mesh_log::Space::Push) can be read; the error says why not.
pub(crate) fn check_record(value: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<PushRecord>(value).map(|_| ()).map_err(|error| error.to_string())
}
