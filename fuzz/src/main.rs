//! One program for all targets; `FUZZ_TARGET` says which. It is run by `fuzz/run`.
#![no_main]

use std::sync::OnceLock;

type Target = fn(&[u8]);

/// Every target, with the name of its seeds' folder.
const TARGETS: [(&str, Target); 17] = [
    ("json-rpc", mesh_host::fuzzing::json_rpc),
    ("params", mesh_host::fuzzing::params),
    ("last-event-id", mesh_host::fuzzing::last_event_id),
    ("rest-path", mesh_host::fuzzing::rest_path),
    ("rest-query", mesh_host::fuzzing::rest_query),
    ("grpc", mesh_host::fuzzing::grpc),
    ("event", mesh_host::fuzzing::event),
    ("worker-line", mesh_host::fuzzing::worker_line),
    ("card", mesh_host::fuzzing::card),
    ("frame", mesh_log::fuzzing::frame),
    ("mcp-message", mesh_gateway::fuzzing::message),
    ("mcp-header", mesh_gateway::fuzzing::header),
    ("mcp-events", mesh_gateway::fuzzing::events),
    ("mcp-answer", mesh_gateway::fuzzing::answer),
    ("mcp-lines", mesh_gateway::fuzzing::lines),
    ("mcp-session", mesh_gateway::fuzzing::session),
    ("sse", sse::fuzz),
];

/// The command line's parser of event streams; a program has no library to take it from.
#[path = "../../crates/mesh-cli/src/sse.rs"]
#[allow(dead_code, unreachable_pub)]
mod decoder;
mod sse;

fn target() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else {
        let known: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("FUZZ_TARGET must be one of: {}", known.join(" "));
    };
    *target
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(target)(data);
});
