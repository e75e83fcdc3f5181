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

fn main() -> std::process::ExitCode {
    app::main()
}
