//! Every reason for which a request is not answered with a result, and the one place that turns it into a
//! protocol error.

use crate::upstream::UpstreamError;
use crate::wire::{LEGACY_VERSIONS, MODERN_VERSION};
use http::StatusCode;
use mesh_policy::Outcome;
use serde_json::{Value, json};
use std::time::Duration;

/// Why a request was rejected. Each phase of a request has its own.
#[derive(Debug)]
pub(crate) enum Rejection {
    // Edge.
    Host(String),
    Origin(String),
    ContentType,
    NotAcceptable,
    BodyTooLarge { limit: usize },
    BodyTooSlow,
    BodyBroken,
    // Decode.
    Parse(String),
    InvalidRequest(String),
    InvalidParams(String),
    // Revision, headers and method.
    HeaderMismatch(String),
    UnsupportedVersion { requested: String },
    MissingMeta(&'static str),
    MethodNotFound { method: String },
    // Audit.
    Audit,
    // Authenticate.
    Identity(String),
    // Route.
    UnknownUpstream { upstream: String },
    UnknownTool { tool: String },
    UnknownPrompt { prompt: String },
    UnknownResource { uri: String },
    UnknownSession,
    // Authorize.
    Denied,
    // Limit.
    Busy { upstream: String },
    TooManyParked,
    TooManyRequests,
    Draining,
    // The client changed its mind.
    Cancelled,
    // Upstream.
    Timeout { upstream: String, after: Duration },
    Upstream { upstream: String, error: UpstreamError },
}

impl Rejection {
    /// The JSON-RPC code. Ours are outside the range that JSON-RPC and MCP reserve: -31000 minus an HTTP status.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Parse(_) => -32700,
            Self::ContentType
            | Self::NotAcceptable
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow
            | Self::BodyBroken
            | Self::InvalidRequest(_)
            | Self::Identity(_) => -32600,
            Self::MethodNotFound { .. } => -32601,
            Self::InvalidParams(_)
            | Self::MissingMeta(_)
            | Self::UnknownTool { .. }
            | Self::UnknownPrompt { .. }
            | Self::UnknownResource { .. }
            | Self::UnknownUpstream { .. } => -32602,
            Self::HeaderMismatch(_) => -32020,
            Self::UnsupportedVersion { .. } => -32022,
            Self::Host(_) | Self::Origin(_) | Self::Denied => -31403,
            Self::Busy { .. } | Self::TooManyParked | Self::TooManyRequests => -31429,
            Self::UnknownSession => -31404,
            Self::Cancelled => -31499,
            Self::Audit | Self::Draining => -31503,
            Self::Timeout { .. } => -31504,
            Self::Upstream { error, .. } => match error {
                UpstreamError::NotSent(_)
                | UpstreamError::Unavailable(_)
                | UpstreamError::Unauthorized(_) => -31503,
                UpstreamError::BadAnswer(_) | UpstreamError::TooLarge { .. } => -31502,
                UpstreamError::SessionLost => -31404,
            },
        }
    }

    /// The JSON-RPC code for a client of a revision: before 2026-07-28 a resource that is not there had one of its own.
    pub(crate) fn code_for(&self, modern: bool) -> i32 {
        match self {
            Self::UnknownResource { .. } if !modern => -32002,
            _ => self.code(),
        }
    }

    /// The HTTP status. What has a JSON-RPC id is answered with 200 where the specification does not say otherwise:
    /// clients do not read the body of anything else.
    pub(crate) fn status(&self, modern: bool) -> StatusCode {
        match self {
            Self::Host(_) | Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken
            | Self::Parse(_)
            | Self::InvalidRequest(_)
            | Self::Identity(_)
            | Self::HeaderMismatch(_)
            | Self::UnsupportedVersion { .. }
            | Self::MissingMeta(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotFound { .. } if modern => StatusCode::NOT_FOUND,
            Self::UnknownUpstream { .. } | Self::UnknownSession => StatusCode::NOT_FOUND,
            // The client has to begin a new session (2025-11-25, transports, session management).
            Self::Upstream { error: UpstreamError::SessionLost, .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        }
    }

    /// What to tell the client.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Host(host) => format!("host `{host}` is not served here"),
            Self::Origin(origin) => format!("origin `{origin}` is not allowed"),
            Self::ContentType => "`Content-Type` must be application/json".to_owned(),
            Self::NotAcceptable => "`Accept` must allow application/json or text/event-stream".to_owned(),
            Self::BodyTooLarge { limit } => format!("the body is larger than {limit} bytes"),
            Self::BodyTooSlow => "the body took too long to arrive".to_owned(),
            Self::BodyBroken => "the body did not arrive whole".to_owned(),
            Self::Parse(why) => format!("parse error: {why}"),
            Self::InvalidRequest(why) | Self::InvalidParams(why) | Self::Identity(why) => why.clone(),
            Self::HeaderMismatch(why) => format!("header mismatch: {why}"),
            Self::UnsupportedVersion { requested } => format!("unsupported protocol version `{requested}`"),
            Self::MissingMeta(name) => format!("`params._meta` must have `{name}`"),
            Self::MethodNotFound { method } => format!("unknown method `{method}`"),
            Self::Audit => "the call cannot be audited now, so it was not made".to_owned(),
            Self::UnknownUpstream { upstream } => format!("no upstream `{upstream}`"),
            Self::UnknownTool { tool } => format!("unknown tool `{tool}`"),
            Self::UnknownPrompt { prompt } => format!("unknown prompt `{prompt}`"),
            Self::UnknownResource { uri } => format!("resource `{uri}` not found"),
            Self::UnknownSession => "the session is unknown or over: initialize again".to_owned(),
            Self::TooManyRequests => "too many requests wait already".to_owned(),
            Self::TooManyParked => "too many calls wait for their clients' answers".to_owned(),
            Self::Cancelled => "the client cancelled the request".to_owned(),
            Self::Denied => "access denied".to_owned(),
            Self::Busy { upstream } => format!("upstream `{upstream}` is busy: its queue is full"),
            Self::Draining => "the gateway is shutting down".to_owned(),
            Self::Timeout { upstream, after } => {
                format!("upstream `{upstream}` did not answer within {} ms", after.as_millis())
            }
            Self::Upstream { upstream, error } => format!("upstream `{upstream}` {error}"),
        }
    }

    /// `error.data`.
    pub(crate) fn data(&self) -> Option<Value> {
        match self {
            Self::UnsupportedVersion { requested } => {
                let supported: Vec<_> = std::iter::once(MODERN_VERSION).chain(LEGACY_VERSIONS).collect();
                Some(json!({ "supported": supported, "requested": requested }))
            }
            Self::Busy { upstream } | Self::Timeout { upstream, .. } | Self::Upstream { upstream, .. } => {
                Some(json!({ "kind": self.kind(), "upstream": upstream }))
            }
            Self::UnknownResource { uri } => Some(json!({ "uri": uri })),
            Self::Audit | Self::Draining | Self::Denied | Self::TooManyParked | Self::TooManyRequests => {
                Some(json!({ "kind": self.kind() }))
            }
            _ => None,
        }
    }

    /// How audit records and metrics count it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownUpstream { .. }
            | Self::UnknownTool { .. }
            | Self::UnknownPrompt { .. }
            | Self::UnknownResource { .. } => Outcome::NotFound,
            Self::Cancelled => Outcome::ClientGone,
            Self::Denied => Outcome::Denied,
            Self::Busy { .. } | Self::Draining | Self::TooManyParked | Self::TooManyRequests => Outcome::Busy,
            Self::Timeout { .. } => Outcome::Timeout,
            Self::Upstream { error, .. } => match error {
                UpstreamError::NotSent(_)
                | UpstreamError::Unavailable(_)
                | UpstreamError::Unauthorized(_)
                | UpstreamError::SessionLost => Outcome::UpstreamUnavailable,
                UpstreamError::BadAnswer(_) | UpstreamError::TooLarge { .. } => Outcome::ProtocolError,
            },
            Self::Audit => Outcome::Internal,
            _ => Outcome::ProtocolError,
        }
    }

    /// Its name in metrics, audit records and `error.data.kind`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Host(_) | Self::Origin(_) => "forbidden_origin",
            Self::ContentType | Self::NotAcceptable => "media_type",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow | Self::BodyBroken => "body_incomplete",
            Self::Parse(_) => "parse",
            Self::InvalidRequest(_) | Self::HeaderMismatch(_) | Self::UnsupportedVersion { .. } => {
                "invalid_request"
            }
            Self::InvalidParams(_) | Self::MissingMeta(_) => "invalid_params",
            Self::MethodNotFound { .. } => "unknown_method",
            Self::Audit => "audit_unavailable",
            Self::Identity(_) => "identity",
            Self::UnknownUpstream { .. } => "unknown_upstream",
            Self::UnknownTool { .. } => "unknown_tool",
            Self::UnknownPrompt { .. } => "unknown_prompt",
            Self::UnknownResource { .. } => "unknown_resource",
            Self::UnknownSession => "unknown_session",
            Self::TooManyParked => "too_many_parked",
            Self::TooManyRequests => "busy",
            Self::Cancelled => "cancelled",
            Self::Denied => "denied",
            Self::Busy { .. } => "busy",
            Self::Draining => "draining",
            Self::Timeout { .. } => "timeout",
            Self::Upstream { error, .. } => match error {
                UpstreamError::NotSent(_) | UpstreamError::Unavailable(_) => "upstream_unavailable",
                UpstreamError::Unauthorized(_) => "upstream_unauthorized",
                UpstreamError::BadAnswer(_) => "bad_answer",
                UpstreamError::TooLarge { .. } => "result_too_large",
                UpstreamError::SessionLost => "session_lost",
            },
        }
    }
}
