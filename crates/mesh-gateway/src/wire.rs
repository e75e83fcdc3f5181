//! What travels: the JSON-RPC envelope with raw members, `_meta`, SSE frames, header values.

pub(crate) mod depth;
pub(crate) mod envelope;
pub(crate) mod header_value;
pub(crate) mod incoming;
pub(crate) mod meta;
pub(crate) mod object;
pub(crate) mod splice;
pub(crate) mod sse;

/// Names of the protocol's own headers.
pub(crate) mod header {
    use http::HeaderName;

    pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
    pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
    pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
    pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");
    pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
    pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
    pub(crate) const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
}

/// The revisions with a handshake that we speak, newest first.
pub(crate) const LEGACY_VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// The revision without one.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";

/// What we call ourselves, as an MCP `Implementation` object.
pub(crate) const IMPLEMENTATION: &str =
    concat!(r#"{"name":"agentmesh-gateway","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a `Vec` cannot fail, and a `str` is always a JSON string.
    let _ = serde_json::to_writer(out, text);
}

/// `text` as a JSON string.
pub(crate) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
