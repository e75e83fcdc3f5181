//! The fault test: a mesh under load while its parts are killed, frozen and cut off by a printed seed, and at the end a
//! reading of every client's transcript.
//!
//! ```text
//!   plan (faults by seed) ──▶ run ──▶ fleet: hosts, their workers, NATS servers
//!                              │
//!                              ├────▶ clients: send, follow, resume; each keeps a transcript
//!                              └────▶ checker: transcripts against the final logs ──▶ report
//! ```
//!
//! - `plan` and `checker` are pure; the checker is tested with transcripts that it must refuse.
//! - `fleet` and `servers` own the processes; all are killed when they are dropped.
//! - `call` is one request, `client` what a client does with many.

mod call;
mod checker;
mod client;
mod fleet;
mod plan;
mod report;
mod run;
mod servers;

pub use plan::Setup;
pub use report::Report;
pub use run::{Options, run};
