//! Which headers pass the door, and in which direction.
//!
//! To an agent only what is listed here goes: a client's credentials come under many names, and none of them may be
//! passed on (G3). Back to the client everything goes but what belongs to one connection or would bind the client to the
//! agent behind the door.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ALT_SVC, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH,
    CONTENT_TYPE, IF_NONE_MATCH, PROXY_AUTHENTICATE, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::TraceContext;

/// What passes under these names.
const PASSED: [HeaderName; 7] =
    [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT];
/// What passes under names that begin so: service parameters of A2A, of both versions, and what gRPC needs itself.
const PASSED_PREFIXES: [&str; 3] = ["a2a-", "x-a2a-", "grpc-"];
/// And these.
const PASSED_NAMES: [&str; 4] = ["last-event-id", "tracestate", "baggage", "x-request-id"];
/// What A2A's clients send for the receiver of a push notification, not for the agent that they speak to.
const SECRETS: [&str; 2] = ["a2a-notification-token", "x-a2a-notification-token"];
/// What belongs to one connection, or to one origin.
const KEPT_BACK: [HeaderName; 9] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TRAILER,
    PROXY_AUTHENTICATE,
    SET_COOKIE,
    ALT_SVC,
    STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE,
];
const KEPT_BACK_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];

/// How the client reached the door.
#[derive(Clone, Debug)]
pub(crate) struct Came<'a> {
    /// The address of this gateway as the client sees it: `https://mesh.example/prefix`.
    pub(crate) base: &'a str,
    /// What of the path is not passed on.
    pub(crate) prefix: &'a str,
}

/// The headers of a request to an agent, without its credentials.
pub(crate) fn to_agent(headers: &HeaderMap, came: &Came<'_>, trace: &TraceContext, grpc: bool) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        if passes(name) {
            out.append(name, value.clone());
        }
    }
    if grpc {
        // The only value that the protocol knows; without it servers refuse the call.
        out.insert(TE, HeaderValue::from_static("trailers"));
    }
    put(&mut out, "traceparent", &trace.to_string());
    let (scheme, rest) = came.base.split_once("://").unwrap_or(("http", came.base));
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    put(&mut out, "x-forwarded-proto", scheme);
    put(&mut out, "x-forwarded-host", host);
    put(&mut out, "x-forwarded-prefix", &format!("{path}{}", came.prefix));
    out
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn passes(name: &HeaderName) -> bool {
    let text = name.as_str();
    let listed = PASSED.contains(name)
        || PASSED_NAMES.contains(&text)
        || PASSED_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    listed && !SECRETS.contains(&text)
}

/// Takes out of an answer's headers what does not go on to the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&KEPT_BACK) {
        headers.remove(name);
    }
    for name in KEPT_BACK_NAMES {
        headers.remove(name);
    }
}

/// Whether the answer's length is announced, and what it is.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        pairs.iter().map(pair).collect::<HeaderMap>()
    }

    fn passed(pairs: &[(&str, &str)]) -> HeaderMap {
        let came = Came { base: "https://mesh.example/prefix", prefix: "/agents/sales" };
        to_agent(&headers(pairs), &came, &TraceContext::root(), false)
    }

    #[test]
    fn no_credentials_and_nothing_that_belongs_to_a_connection_reach_an_agent() {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-goog-iap-jwt-assertion",
            "agentmesh-agent",
            "agentmesh-tenant",
            "agentmesh-task",
            "connection",
            "te",
            "transfer-encoding",
            "host",
            "content-length",
            "origin",
            "forwarded",
            "x-forwarded-for",
            "x-http-method-override",
            "x-a2a-notification-token",
        ] {
            assert!(!passed(&[(name, "x")]).contains_key(name), "{name}");
        }
    }

    #[test]
    fn service_parameters_pass_and_forwarding_is_ours_to_say() {
        let out = passed(&[
            ("a2a-version", "1.0"),
            ("x-a2a-extensions", "urn:x"),
            ("tracestate", "a=b"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-forwarded-host", "evil"),
            ("grpc-timeout", "1S"),
        ]);
        assert_eq!(
            (&out["a2a-version"], &out["x-a2a-extensions"]),
            (&"1.0".parse().unwrap(), &"urn:x".parse().unwrap())
        );
        assert_eq!(out["x-forwarded-host"], "mesh.example");
        assert_eq!(out["x-forwarded-proto"], "https");
        assert_eq!(out["x-forwarded-prefix"], "/prefix/agents/sales");
        assert_ne!(out["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(out["grpc-timeout"], "1S");
    }

    #[test]
    fn an_answer_keeps_what_is_the_agents_to_say() {
        let mut answer = headers(&[
            ("content-type", "text/event-stream"),
            ("etag", "\"1\""),
            ("a2a-extensions", "urn:x"),
            ("set-cookie", "a=b"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
        ]);
        to_client(&mut answer);
        let mut left: Vec<_> = answer.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["a2a-extensions", "content-type", "etag"]);
    }
}
