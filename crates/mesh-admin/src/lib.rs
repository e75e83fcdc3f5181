//! The admin port: is the process alive, is it ready, and what do its metrics say.
//!
//! * [`router`] answers `/healthz`, `/readyz` and `/metrics`.
//! * [`Readiness`] is what the parts of the process report to, each through its [`ComponentHandle`].
//! * [`register_process`] adds the metrics of the process itself.

mod process;
mod readiness;
mod router;

pub use process::{Build, register_process};
pub use readiness::{Component, ComponentHandle, Readiness, Report};
pub use router::{AdminState, METRICS_CONTENT_TYPE, router};
