//! Development only: what the tests, benches and examples of Agent Mesh run against.
//!
//! - [`model`]: an OpenAI-compatible server that follows a script (binary `scripted-model`).
//! - [`worker`]: a worker that speaks `docs/worker-protocol.md` and does what the message says (binary `scripted-worker`).
//! - [`load`]: a closed-loop client that measures a server and checks its answers (binary `load`).
//! - [`chaos`]: the fault test (binary `chaos`).
//! - [`rubbish`]: malformed requests by seed, and the judge of their answers (binary `rubbish`).

pub mod chaos;
pub mod load;
pub mod model;
mod random;
pub mod rubbish;
pub mod worker;
