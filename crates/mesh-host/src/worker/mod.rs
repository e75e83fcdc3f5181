//! Workers: the processes that hold an agent's logic. `docs/worker-protocol.md` is the protocol.
//!
//! - [`protocol`] is the wire format of the lines.
//! - [`run`] is one process as the owners see it: attempts begin, wait, stop and end in it.
//! - [`process`] starts a process, and carries lines in and out.
//! - [`lines`] takes a worker's line to where it belongs.
//! - [`supervisor`] keeps one process ready, for ever.

mod lines;
mod process;
pub(crate) mod protocol;
mod run;
mod supervisor;
mod tokens;

pub(crate) use run::{Attempt, CallScope, Run};
pub(crate) use supervisor::Supervisor;
