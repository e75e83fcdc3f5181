//! Why a request to an agent is not passed on, in the words of each binding.

use super::grpc;
use crate::rejection::Rejection;
use crate::wire::string;
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use mesh_policy::Outcome;
use serde_json::json;
use std::time::Duration;

/// How a request came (section 5): which errors its client understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binding {
    JsonRpc,
    Rest,
    Grpc,
}

impl Binding {
    /// The name in cards.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::Rest => "HTTP+JSON",
            Self::Grpc => "GRPC",
        }
    }
}

/// Why.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It did not get past the edge.
    Edge(Rejection),
    /// It is not what its binding wants.
    Malformed(String),
    /// It is no JSON.
    Json(String),
    /// There is no such agent, or not for this caller.
    UnknownAgent(String),
    /// No rule allows it.
    Denied,
    /// Too much is open already.
    Busy(String),
    /// The agent has no interface of this binding.
    NoInterface { agent: String, binding: Binding },
    /// The agent cannot be reached.
    Unavailable { agent: String, why: String },
    /// The agent broke the protocol.
    BadAnswer { agent: String, why: String },
    /// The agent took too long.
    Timeout { agent: String, after: Duration },
}

/// Numbers of `google.rpc.Code`.
mod code {
    pub(super) const INVALID_ARGUMENT: u8 = 3;
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const NOT_FOUND: u8 = 5;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
}

/// One refusal in all bindings.
struct Words {
    json_rpc: i32,
    http: StatusCode,
    grpc: u8,
    status: &'static str,
    reason: &'static str,
}

const fn words(
    json_rpc: i32,
    http: StatusCode,
    grpc: u8,
    status: &'static str,
    reason: &'static str,
) -> Words {
    Words { json_rpc, http, grpc, status, reason }
}

impl Refusal {
    fn words(&self) -> Words {
        use code::*;
        match self {
            Self::Edge(Rejection::Host(_) | Rejection::Origin(_)) => words(
                -31403,
                StatusCode::FORBIDDEN,
                PERMISSION_DENIED,
                "PERMISSION_DENIED",
                "FORBIDDEN_ORIGIN",
            ),
            Self::Edge(Rejection::Audit | Rejection::Draining) => words(
                -31503,
                StatusCode::SERVICE_UNAVAILABLE,
                UNAVAILABLE,
                "UNAVAILABLE",
                "GATEWAY_UNAVAILABLE",
            ),
            Self::Edge(Rejection::BodyTooLarge { .. }) => words(
                -32600,
                StatusCode::PAYLOAD_TOO_LARGE,
                RESOURCE_EXHAUSTED,
                "RESOURCE_EXHAUSTED",
                "BODY_TOO_LARGE",
            ),
            Self::Json(_) => {
                words(-32700, StatusCode::BAD_REQUEST, INVALID_ARGUMENT, "INVALID_ARGUMENT", "PARSE_ERROR")
            }
            Self::Edge(_) | Self::Malformed(_) => words(
                -32600,
                StatusCode::BAD_REQUEST,
                INVALID_ARGUMENT,
                "INVALID_ARGUMENT",
                "INVALID_REQUEST",
            ),
            Self::UnknownAgent(_) => {
                words(-31404, StatusCode::NOT_FOUND, NOT_FOUND, "NOT_FOUND", "UNKNOWN_AGENT")
            }
            Self::Denied => {
                words(-31403, StatusCode::FORBIDDEN, PERMISSION_DENIED, "PERMISSION_DENIED", "DENIED")
            }
            Self::Busy(_) => {
                words(-31429, StatusCode::TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", "BUSY")
            }
            Self::NoInterface { .. } => {
                words(-31404, StatusCode::NOT_FOUND, UNIMPLEMENTED, "UNIMPLEMENTED", "NO_SUCH_INTERFACE")
            }
            Self::Unavailable { .. } => words(
                -31503,
                StatusCode::SERVICE_UNAVAILABLE,
                UNAVAILABLE,
                "UNAVAILABLE",
                "AGENT_UNAVAILABLE",
            ),
            Self::BadAnswer { .. } => {
                words(-31502, StatusCode::BAD_GATEWAY, INTERNAL, "INTERNAL", "BAD_ANSWER")
            }
            Self::Timeout { .. } => {
                words(-31504, StatusCode::GATEWAY_TIMEOUT, DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "TIMEOUT")
            }
        }
    }

    /// What to tell the client.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Edge(rejection) => rejection.message(),
            Self::Malformed(why) => why.clone(),
            Self::Json(why) => format!("parse error: {why}"),
            Self::UnknownAgent(name) => format!("no agent `{name}`"),
            Self::Denied => "access denied".to_owned(),
            Self::Busy(agent) => format!("agent `{agent}` is busy: too many requests to it are open"),
            Self::NoInterface { agent, binding } => {
                format!("agent `{agent}` is not spoken to by {}", binding.name())
            }
            Self::Unavailable { agent, why } => format!("agent `{agent}` is not available: {why}"),
            Self::BadAnswer { agent, why } => format!("agent `{agent}` broke the protocol: {why}"),
            Self::Timeout { agent, after } => {
                format!("agent `{agent}` did not answer within {} ms", after.as_millis())
            }
        }
    }

    /// How audit records count it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Edge(rejection) => rejection.outcome(),
            Self::Malformed(_) | Self::Json(_) | Self::BadAnswer { .. } => Outcome::ProtocolError,
            Self::UnknownAgent(_) | Self::NoInterface { .. } => Outcome::NotFound,
            Self::Denied => Outcome::Denied,
            Self::Busy(_) => Outcome::Busy,
            Self::Unavailable { .. } => Outcome::UpstreamUnavailable,
            Self::Timeout { .. } => Outcome::Timeout,
        }
    }

    /// Its name in audit records.
    pub(crate) fn kind(&self) -> &'static str {
        self.words().reason
    }

    /// The answer. `id` is that of a JSON-RPC request, as it was written.
    pub(crate) fn response(&self, binding: Binding, id: Option<&str>) -> Response {
        let (words, message) = (self.words(), self.message());
        match binding {
            Binding::JsonRpc => {
                let data = json!([info(words.reason)]);
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{},"message":{},"data":{data}}}}}"#,
                    id.unwrap_or("null"),
                    words.json_rpc,
                    string(&message),
                );
                // What has an id is answered with 200, or clients would not read it.
                let understood = id.is_some() && !matches!(self, Self::UnknownAgent(_));
                respond(if understood { StatusCode::OK } else { words.http }, "application/json", body)
            }
            Binding::Rest => {
                let error = json!({ "error": {
                    "code": words.http.as_u16(),
                    "status": words.status,
                    "message": message,
                    "details": [info(words.reason)],
                } });
                respond(words.http, "application/json", error.to_string())
            }
            Binding::Grpc => {
                let mut response = respond(StatusCode::OK, "application/grpc", String::new());
                let headers = response.headers_mut();
                headers
                    .insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(words.grpc)));
                if let Ok(message) = HeaderValue::from_str(&grpc::escaped(&message)) {
                    headers.insert(HeaderName::from_static("grpc-message"), message);
                }
                response
            }
        }
    }
}

fn info(reason: &str) -> serde_json::Value {
    json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "agentmesh" })
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_binding_says_the_same_in_its_own_words() {
        let refusal = Refusal::Unavailable { agent: "sales".into(), why: "x".into() };
        let rpc = refusal.response(Binding::JsonRpc, Some("7"));
        assert_eq!(rpc.status(), 200, "clients read the body of nothing else");
        assert_eq!(refusal.response(Binding::Rest, None).status(), 503);
        let grpc = refusal.response(Binding::Grpc, None);
        assert_eq!((grpc.status(), &grpc.headers()["grpc-status"]), (StatusCode::OK, &HeaderValue::from(14)));
        assert_eq!(grpc.headers()["grpc-message"], "agent `sales` is not available: x");
    }

    #[test]
    fn an_unknown_agent_is_not_found_in_every_binding() {
        let refusal = Refusal::UnknownAgent("ü".into());
        assert_eq!(refusal.response(Binding::JsonRpc, Some("7")).status(), 404);
        assert_eq!(refusal.response(Binding::Rest, None).status(), 404);
        let grpc = refusal.response(Binding::Grpc, None);
        assert_eq!(grpc.headers()["grpc-status"], "5");
        assert_eq!(grpc.headers()["grpc-message"], "no agent `%C3%BC`");
    }
}
