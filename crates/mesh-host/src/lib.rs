//! The A2A host: any agent becomes an Agent2Agent server with a durable event log per task.
//!
//! ```text
//!  client ──▶ wire ──▶ service ──▶ owner (one per task) ──append──▶ mesh-log
//!                         │            │ effects                       │
//!                         │            ▼                               │ read, tail
//!                         │        dispatch ──▶ worker process         │
//!                         └──────▶ subscribe ◀─────────────────────────┘
//! ```
//!
//! - `card`: what the agent says about itself.
//! - `wire`: the bindings JSON-RPC, HTTP+JSON and gRPC. Decode, encode, and decide nothing.
//! - `service`: the operations, whatever the binding.
//! - `owner`: one actor per task; the only writer of its log.
//! - `dispatch`: who is next, and when there is a place.
//! - `members`: the other hosts of the agent, if they share the log.
//! - `push`: push notifications.
//! - `worker`: the worker process and its protocol.
//! - `calls`: tools and agents that a worker calls.
//! - `context`: what the tasks of a context share.
//! - `subscribe`: event streams.

mod calls;
mod card;
mod context;
mod dispatch;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod members;
mod metrics;
mod owner;
mod push;
mod retention;
mod service;
mod settings;
mod subscribe;
mod wire;
mod worker;

pub use card::{CONTEXT_EXTENSION, CardKeyError, EVENT_LOG_EXTENSION, PUSH_STATE_EXTENSION};
pub use host::{Host, HostError, HostParts};
pub use metrics::{AgentMetrics, HostMetrics};
pub use retention::Swept;
pub use settings::HostSettings;

/// Whether a record of a store can be read by a host; the error says why not. For those who check stores.
///
/// # Errors
/// It is not what any host has written.
pub fn check_record(record: &mesh_log::Record) -> Result<(), String> {
    match record.key.space {
        mesh_log::Space::Push => push::check_record(&record.value),
        mesh_log::Space::Hosts => serde_json::from_slice::<serde_json::Value>(&record.value)
            .map(|_| ())
            .map_err(|error| error.to_string()),
        // What is remembered in a context is for agents to read.
        // Those of a gateway read as nothing when they cannot be read: who registered does so again, and a pin is set again.
        mesh_log::Space::Context | mesh_log::Space::Directory | mesh_log::Space::Pins => Ok(()),
    }
}
