//! The A2A 1.0 JSON-RPC binding (section 9): requests in, answers and streams out.

mod envelope;
mod http;
mod params;
mod sse;

pub(crate) use http::router;
