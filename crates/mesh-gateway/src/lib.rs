//! The AgentGateway: MCP tools and the agent directory behind one door.
//!
//! Clients speak MCP over Streamable HTTP at `/mcp` (every tool they may see, under names that never collide) and at
//! `/mcp/{upstream}` (one upstream, its names untouched), in the stateless revision 2026-07-28 and in the earlier ones
//! with a handshake. Sessions are sealed and kept by the client, so any replica can serve any request.
//!
//! - `server`: the way of a request; `server/call.rs` has the order in which a tool call passes its phases.
//! - `plan`: what a configuration makes, replaced as a whole; `discovery`: where the configuration comes from while the gateway runs.
//! - `toolset`, `selection`, `versions`: chosen tools, what the mesh file says of tools, and two versions of an upstream.
//! - `balance`, `breaker`, `retry`, `cache`: which target is asked, when nobody is, when again, and what need not be asked.
//! - `session`: what a client keeps for us, sealed.
//! - `upstream`: MCP servers behind the gateway, over HTTP or as child processes, each with its own bounds.
//! - `find`: tools for a need in words, ranked.
//! - `pins`: fingerprints of definitions, and hidden text in them.
//! - `agents`: A2A to any agent, through the same door.
//! - `directory`: who is there, and their cards.
//! - `wire`: envelopes with raw members, so that what is forwarded stays as it is.
//! - `rejection`: the one place that makes protocol errors.

mod admin;
mod agents;
mod balance;
mod breaker;
mod cache;
mod directory;
mod discovery;
mod find;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod identity;
mod metrics;
mod names;
mod observe;
mod pins;
mod plan;
mod rejection;
mod retry;
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
pub use gateway::{Gateway, SetupError, TargetHealth, UpstreamHealth, Wiring};
pub use server::{StdioError, serve_stdio};
pub use settings::{AgentSite, DirectorySettings, Hosts, Limits, Settings};
