//! A closed-loop client: every connection sends its next call when the last one is answered.
//!
//! An answer counts only if it is right: the task completed with as many chunks as expected, the tool's result is no
//! error. Everything else is an error of the run. Latencies are kept one by one, so the percentiles are exact.
//! [`Taps`] is another kind of run: many clients follow one task of a `scripted-worker`.

mod a2a;
mod chunks;
pub(crate) mod connection;
mod drive;
mod mcp;
pub(crate) mod process;
mod report;
pub(crate) mod sse;
mod stamps;
mod tap;
mod taps;

pub use a2a::{A2aCalls, A2aMode};
pub use drive::{Plan, Workload, run};
pub use mcp::{McpCalls, McpRevision};
pub use process::{Usage, UsageError, resident_bytes};
pub use report::{Cpu, Percentiles, Report};
pub use taps::{Taps, TapsReport};
