//! A fast MCP server over Streamable HTTP, without sessions, in both generations: `echo` answers with its arguments.
//!
//! As an upstream of benches it has to cost as little as it can: the answer is the request's own bytes between fixed ones.

mod answer;
mod server;

pub use server::{EchoServer, serve};
