//! Development only: what the tests, benches and examples of Agent Mesh run against.
//!
//! - [`model`]: an OpenAI-compatible server that follows a script (binary `scripted-model`).
//! - [`worker`]: a worker that speaks `docs/worker-protocol.md` and does what the message says (binary `scripted-worker`).
//! - [`load`]: a closed-loop client that measures a server and checks its answers (binary `load`).
//! - [`chaos`]: the fault test (binary `chaos`).
//! - [`relay`]: a proxy that can be broken (binary `fault-proxy`).
//! - [`echo`]: a fast MCP server with one tool (binary `echo-server`).
//! - [`outage`]: breaks one of three targets of a gateway in every way, and counts (binary `outage`).
//! - [`rubbish`]: malformed requests by seed, and the judge of their answers (binary `rubbish`).

pub mod chaos;
pub mod document;
pub mod echo;
pub mod load;
pub mod model;
pub mod outage;
mod random;
pub mod relay;
pub mod rubbish;
pub mod worker;
