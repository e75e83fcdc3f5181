//! The bindings of A2A 1.0: requests in, answers and streams out.
//!
//! - `http`: the routes, and JSON-RPC (section 9) with its `envelope`.
//! - `v03`: JSON-RPC of A2A 0.3, for clients that have not moved on.
//! - `rest`: HTTP+JSON (section 11).
//! - `grpc`: gRPC (section 10).
//! - `operate`: what all bindings decode into and have done; `params` are its parameters.
//! - `extensions`: which of the agent's extensions a request asks for.
//! - `well_known`: the card and its keys.
//! - `body`, `compression`, `sse`, `version`: what the bindings over HTTP share.

mod body;
mod compression;
mod envelope;
pub(crate) mod extensions;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod grpc;
mod http;
mod operate;
mod params;
mod rest;
mod sse;
pub(crate) mod v03;
mod version;
mod well_known;

pub(crate) use self::envelope::check_depth;
pub(crate) use self::http::router;
