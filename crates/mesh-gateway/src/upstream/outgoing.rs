//! One request on its way to an upstream, written for the revision that the upstream speaks.

use super::{Asker, Conversation, Revision};
use crate::wire::object::RawObject;
use crate::wire::{IMPLEMENTATION, MODERN_VERSION, meta, string, write_string};
use bytes::Bytes;
use http::HeaderValue;
use mesh_core::TraceContext;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a modern client said about itself, raw; empty for a legacy one, for which the gateway speaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientFacts<'a> {
    pub(crate) capabilities: Option<&'a str>,
    pub(crate) info: Option<&'a str>,
    pub(crate) log_level: Option<&'a str>,
}

/// Where notifications about a request go. Full: the notification is left out, as the protocol allows.
#[derive(Clone, Debug)]
pub(crate) struct Notify {
    /// The client's own progress token, raw, if it wants progress.
    pub(crate) token: Option<Box<str>>,
    /// Which log messages it wants.
    pub(crate) logs: Logs,
    pub(crate) to: mpsc::Sender<Bytes>,
}

impl Notify {
    /// Passes `notifications/progress` on, under the client's token.
    pub(crate) fn progress(&self, params: &str) {
        let (Some(token), Ok(mut params)) = (&self.token, RawObject::parse_lenient(params)) else { return };
        params.set("progressToken", &**token);
        let mut message = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#.to_vec();
        params.write(&mut message);
        message.push(b'}');
        let _ = self.to.try_send(message.into());
    }

    /// Passes a log message on as it is, if its level is wanted.
    pub(crate) fn log(&self, message: &Bytes) {
        if self.logs.want(message) {
            let _ = self.to.try_send(message.clone());
        }
    }
}

/// Which log messages a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Whatever the server sends (with a handshake, before a level was set).
    All,
    /// None (2026-07-28, without `logLevel`).
    None,
    /// From this place in [`Logs::LEVELS`] on.
    From(usize),
}

impl Logs {
    /// The levels of RFC 5424, the least important first.
    pub(crate) const LEVELS: [&'static str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

    /// Those from a level on, raw; `None` if it is none.
    pub(crate) fn from_level(level: &str) -> Option<Self> {
        let level = level.trim_matches('"');
        Self::LEVELS.iter().position(|known| *known == level).map(Self::From)
    }

    fn want(self, message: &[u8]) -> bool {
        #[derive(serde::Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            params: Params<'a>,
        }
        #[derive(serde::Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            level: std::borrow::Cow<'a, str>,
        }
        match self {
            Self::All => true,
            Self::None => false,
            Self::From(least) => serde_json::from_slice::<Message<'_>>(message)
                .ok()
                .and_then(|message| Self::LEVELS.iter().position(|level| *level == message.params.level))
                .is_none_or(|level| level >= least),
        }
    }
}

/// One request.
#[derive(Clone)]
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a str,
    /// What `Mcp-Name` carries: the tool's name, by the upstream's own spelling.
    pub(crate) name: Option<&'a str>,
    /// Without `_meta`.
    pub(crate) params: RawObject<'a>,
    /// What passes of the client's `_meta`.
    pub(crate) meta: RawObject<'a>,
    pub(crate) client: ClientFacts<'a>,
    /// `Mcp-Param-*`, for a modern upstream over HTTP.
    pub(crate) param_headers: Vec<(http::HeaderName, HeaderValue)>,
    /// The span that this request is.
    pub(crate) trace: TraceContext,
    pub(crate) tracestate: Option<HeaderValue>,
    pub(crate) notify: Option<Notify>,
    /// In whose name, for a server with sessions.
    pub(crate) conversation: Arc<Conversation>,
    /// Whom the server may ask back.
    pub(crate) asker: Option<Arc<dyn Asker>>,
    /// Whether a large result may be streamed.
    pub(crate) streams: bool,
}

impl<'a> Outgoing<'a> {
    /// A request of the gateway's own.
    pub(crate) fn own(method: &'a str, params: RawObject<'a>) -> Self {
        Self {
            method,
            name: None,
            params,
            meta: RawObject::default(),
            client: ClientFacts::default(),
            param_headers: Vec::new(),
            trace: TraceContext::root(),
            tracestate: None,
            notify: None,
            conversation: Conversation::own(),
            asker: None,
            streams: false,
        }
    }

    /// The message, under an id that is unique for the connection; the id is the progress token, too.
    pub(crate) fn encode(&self, id: u64, revision: &Revision) -> Vec<u8> {
        let id_text = id.to_string();
        let trace = string(&self.trace.to_string());
        let state = self.tracestate.as_ref().and_then(|state| state.to_str().ok()).map(string);
        let mut meta = self.meta.clone();
        meta.set(meta::TRACEPARENT, &*trace);
        if let Some(state) = &state {
            meta.set(meta::TRACESTATE, &**state);
        }
        if self.notify.as_ref().is_some_and(|notify| notify.token.is_some()) {
            meta.set(meta::PROGRESS_TOKEN, &*id_text);
        }
        let version = string(MODERN_VERSION);
        if revision.is_modern() {
            meta.set(meta::PROTOCOL_VERSION, &*version);
            meta.set(meta::CLIENT_INFO, self.client.info.unwrap_or(IMPLEMENTATION));
            meta.set(meta::CLIENT_CAPABILITIES, self.client.capabilities.unwrap_or("{}"));
            if let Some(level) = self.client.log_level {
                meta.set(meta::LOG_LEVEL, level);
            }
        }
        let meta = meta.to_text();
        let mut params = self.params.clone();
        params.set("_meta", meta);

        let mut out = format!(r#"{{"jsonrpc":"2.0","id":{id_text},"method":"#).into_bytes();
        write_string(&mut out, self.method);
        out.extend_from_slice(br#","params":"#);
        params.write(&mut out);
        out.push(b'}');
        out
    }
}

/// A notification of ours.
pub(crate) fn notification(method: &str, params: &str) -> Vec<u8> {
    let mut out = br#"{"jsonrpc":"2.0","method":"#.to_vec();
    write_string(&mut out, method);
    if !params.is_empty() {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
    out
}

/// `notifications/cancelled` for a request of ours.
pub(crate) fn cancelled(id: u64) -> Vec<u8> {
    notification("notifications/cancelled", &format!(r#"{{"requestId":{id},"reason":"no longer wanted"}}"#))
}

/// The answer to a request that a server sent us: `ping` works, everything else is not offered.
pub(crate) fn answer_to_server(id: &str, method: &str) -> Vec<u8> {
    if method == "ping" {
        return format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes();
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"the gateway does not offer this"}}}}"#)
        .into_bytes()
}

/// The answer to a request that a server sent us and that cannot be passed on now.
pub(crate) fn refusal(id: &str, why: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":{}}}}}"#, string(why))
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_rewritten_for_the_revision_and_nothing_else_is_touched() {
        let params = RawObject::parse(r#"{"name":"echo","arguments":{"x":1.0},"extra":[1 ]}"#).unwrap();
        let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let outgoing = Outgoing { trace, ..Outgoing::own("tools/call", params) };
        let text = |revision: &Revision| String::from_utf8(outgoing.encode(7, revision)).unwrap();
        assert_eq!(
            text(&Revision::Legacy("2025-11-25".into())),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"x":1.0},"extra":[1 ],"_meta":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}}"#
        );
        let modern: serde_json::Value = serde_json::from_str(&text(&Revision::Modern)).unwrap();
        let meta = &modern["params"]["_meta"];
        assert_eq!(meta[meta::PROTOCOL_VERSION], MODERN_VERSION);
        assert_eq!(meta[meta::CLIENT_CAPABILITIES], serde_json::json!({}));
        assert_eq!(meta[meta::CLIENT_INFO]["name"], "agentmesh-gateway");
    }

    #[test]
    fn only_levels_that_are_wanted_pass() {
        let message = br#"{"method":"notifications/message","params":{"level":"warning","data":1}}"#;
        for (logs, wanted) in [
            (Logs::All, true),
            (Logs::None, false),
            (Logs::from_level("\"info\"").unwrap(), true),
            (Logs::from_level("error").unwrap(), false),
        ] {
            assert_eq!(logs.want(message), wanted, "{logs:?}");
        }
        assert_eq!(Logs::from_level("loud"), None);
    }

    #[tokio::test]
    async fn progress_comes_back_under_the_clients_token() {
        let (to, mut from) = mpsc::channel(1);
        let notify = Notify { token: Some("\"abc\"".into()), logs: Logs::All, to };
        notify.progress(r#"{"progressToken":7,"progress":1.50,"message":"m"}"#);
        notify.progress(r#"{"progressToken":7,"progress":2}"#);
        assert_eq!(
            from.recv().await.unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"abc","progress":1.50,"message":"m"}}"#
        );
        assert!(from.try_recv().is_err(), "the second one did not fit and is left out");
    }
}
