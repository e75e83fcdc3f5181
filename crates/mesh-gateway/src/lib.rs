//! The AgentGateway: MCP tools and the agent directory behind one door.
//!
//! Clients speak MCP over Streamable HTTP at `/mcp` (every tool they may see, under names that never collide) and at
//! `/mcp/{upstream}` (one upstream, its names untouched), in the stateless revision 2026-07-28 and in the earlier ones
//! with a handshake. No session is kept for a client, so any replica can serve any request.
//!
//! - `server`: the way of a request; `server/call.rs` has the order in which a tool call passes its phases.
//! - `plan`: what a configuration makes, replaced as a whole; `discovery`: where the configuration comes from while the gateway runs.
//! - `toolset`, `selection`, `versions`: chosen tools, what the mesh file says of tools, and two versions of an upstream.
//! - `upstream`: MCP servers behind the gateway, over HTTP or as child processes, each with its own bounds.
//! - `pins`: fingerprints of definitions, and hidden text in them; nothing asks for them yet.
//! - `directory`: the mesh's agents and their cards.
//! - `wire`: envelopes with raw members, so that what is forwarded stays as it is.
//! - `rejection`: the one place that makes protocol errors.

#![allow(dead_code, unused_imports)] // While the parts are being joined.

mod admin;
mod directory;
mod discovery;
mod gateway;
mod identity;
mod metrics;
mod names;
mod observe;
mod pins;
mod plan;
mod rejection;
mod selection;
mod server;
mod session;
mod settings;
mod toolset;
mod upstream;
mod versions;
mod wire;

pub use discovery::{
    Discovery, Found, MeshFile, Problem, ReloadHandle, ReloadOutcome, Reloaded, Reloader, UpstreamSet,
    Variables, WatchedFolder,
};
pub use gateway::{Gateway, SetupError, UpstreamHealth, Wiring};
pub use server::{StdioError, serve_stdio};
pub use settings::{AgentSite, Hosts, Limits, Settings};
