//! The gateway as clients see it: over HTTP, with real child processes and real HTTP servers behind it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the exception for tests does not cover")]

mod agents;
mod audit;
mod bridging;
mod dependable;
mod directory;
mod find;
mod http_upstream;
mod malformed;
mod peer;
mod protocol;
mod registration;
mod reload;
mod sessions;
mod stdio;
mod stdio_client;
mod support;
mod toolsets;
mod versions;
