//! `agentmesh`: run a mesh, or talk to one.

mod a2a;
mod app;
mod attach;
mod check;
mod cli;
mod commands;
mod directory;
mod exit;
mod http;
mod mcp;
mod output;
mod render;
mod run;
mod sse;
mod store;
mod target;
mod telemetry;

/// Events are many small allocations, made on one thread and freed on another: see decision 19.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    app::main()
}
