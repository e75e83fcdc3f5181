//! The words and the rules of Agent Mesh, without any I/O.
//!
//! - [`model`]: messages, artifacts and tasks as A2A 1.0 defines them, with its JSON encoding.
//! - [`event`]: what happened to a task, and the `StreamResponse` encoding of it.
//! - [`lifecycle`]: the pure task state machine: [`lifecycle::apply`] turns a state and a command into
//!   events and effects, or a typed rejection.
//! - [`error`]: the protocol errors of A2A with their codes in every binding.
//! - [`principal`], [`ids`]: who asks, and what things are called.
//! - [`trace`]: W3C trace context, and the seam through which finished spans leave.
//! - [`shelf`]: small records that outlive the process, as something that is passed in.
//! - [`clock`]: time, as something that is passed in.

pub mod clock;
pub mod error;
pub mod event;
pub mod ids;
pub mod lifecycle;
pub mod model;
pub mod principal;
pub mod shelf;
pub mod trace;

pub use clock::{Clock, SystemClock, Timestamp};
pub use error::{A2aError, ErrorKind};
pub use event::TaskEvent;
pub use ids::{
    AgentName, ArtifactId, ContextId, HostId, MessageId, PrincipalId, Seq, TaskId, TaskKey, Tenant,
};
pub use principal::{Principal, PrincipalKind};
pub use shelf::{Compartment, MemoryShelf, Required, Shelf, ShelfError, Shelved};
pub use trace::TraceContext;
