//! The errors of A2A 1.0.1 (section 5.4) with their codes in every binding, and the JSON-RPC ones.

use std::fmt;

/// Which error it is. Everything a binding needs to know follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The task does not exist, or not for this caller.
    TaskNotFound,
    /// The task has ended and cannot be canceled.
    TaskNotCancelable,
    /// The agent does not push.
    PushNotificationNotSupported,
    /// The operation is not possible here or in this state.
    UnsupportedOperation,
    /// A media type that the agent does not take.
    ContentTypeNotSupported,
    /// The agent answered something that breaks the protocol.
    InvalidAgentResponse,
    /// There is no extended card.
    ExtendedAgentCardNotConfigured,
    /// The client must declare an extension that the agent requires.
    ExtensionSupportRequired,
    /// The client speaks a version that this host does not.
    VersionNotSupported,
    /// The queue of the agent is full; ours, in the range that JSON-RPC leaves to servers.
    Busy,
    /// The body is not JSON.
    Parse,
    /// The body is JSON, but no request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The parameters are wrong.
    InvalidParams,
    /// Something of ours failed; the message says nothing more.
    Internal,
}

/// The names of the gRPC status codes in use, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GrpcStatus {
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
}

impl GrpcStatus {
    /// The name as `google.rpc.Status` spells it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The domain of `google.rpc.ErrorInfo` for errors that A2A defines.
pub const A2A_ERROR_DOMAIN: &str = "a2a-protocol.org";

impl ErrorKind {
    /// The JSON-RPC code.
    pub fn json_rpc_code(self) -> i32 {
        match self {
            Self::TaskNotFound => -32001,
            Self::TaskNotCancelable => -32002,
            Self::PushNotificationNotSupported => -32003,
            Self::UnsupportedOperation => -32004,
            Self::ContentTypeNotSupported => -32005,
            Self::InvalidAgentResponse => -32006,
            Self::ExtendedAgentCardNotConfigured => -32007,
            Self::ExtensionSupportRequired => -32008,
            Self::VersionNotSupported => -32009,
            Self::Busy => -32050,
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
        }
    }

    /// The HTTP status of the HTTP+JSON binding.
    pub fn http_status(self) -> u16 {
        match self {
            Self::TaskNotFound | Self::MethodNotFound => 404,
            Self::InvalidAgentResponse | Self::Internal => 500,
            Self::Busy => 429,
            _ => 400,
        }
    }

    /// The gRPC status.
    pub fn grpc_status(self) -> GrpcStatus {
        match self {
            Self::TaskNotFound => GrpcStatus::NotFound,
            Self::ContentTypeNotSupported | Self::Parse | Self::InvalidRequest | Self::InvalidParams => {
                GrpcStatus::InvalidArgument
            }
            Self::InvalidAgentResponse | Self::Internal => GrpcStatus::Internal,
            Self::MethodNotFound => GrpcStatus::Unimplemented,
            Self::Busy => GrpcStatus::ResourceExhausted,
            _ => GrpcStatus::FailedPrecondition,
        }
    }

    /// The `reason` of `google.rpc.ErrorInfo`; `None` for the errors of JSON-RPC itself.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::TaskNotFound => Some("TASK_NOT_FOUND"),
            Self::TaskNotCancelable => Some("TASK_NOT_CANCELABLE"),
            Self::PushNotificationNotSupported => Some("PUSH_NOTIFICATION_NOT_SUPPORTED"),
            Self::UnsupportedOperation => Some("UNSUPPORTED_OPERATION"),
            Self::ContentTypeNotSupported => Some("CONTENT_TYPE_NOT_SUPPORTED"),
            Self::InvalidAgentResponse => Some("INVALID_AGENT_RESPONSE"),
            Self::ExtendedAgentCardNotConfigured => Some("EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
            Self::ExtensionSupportRequired => Some("EXTENSION_SUPPORT_REQUIRED"),
            Self::VersionNotSupported => Some("VERSION_NOT_SUPPORTED"),
            Self::Busy => Some("AGENT_BUSY"),
            _ => None,
        }
    }
}

/// An error as a client sees it: which one, and a message that is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct A2aError {
    /// Which error.
    pub kind: ErrorKind,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl A2aError {
    /// Joins the two.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A parameter that is wrong: its path in the request, and why.
    pub fn invalid(field: &str, why: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidParams, format!("{field}: {why}"))
    }

    /// The task is not there, or not for this caller: the two look alike.
    pub fn task_not_found(id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        Self::new(ErrorKind::TaskNotFound, format!("no task `{shown}`"))
    }

    /// Our fault. The cause goes to the log, not to the client.
    pub fn internal() -> Self {
        Self::new(ErrorKind::Internal, "the host could not complete the request; its log says why")
    }
}

impl fmt::Display for A2aError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for A2aError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a2a_has_the_codes_of_section_5_4() {
        use ErrorKind as E;
        for (kind, code, grpc, http, reason) in [
            (E::TaskNotFound, -32001, "NOT_FOUND", 404, "TASK_NOT_FOUND"),
            (E::TaskNotCancelable, -32002, "FAILED_PRECONDITION", 400, "TASK_NOT_CANCELABLE"),
            (
                E::PushNotificationNotSupported,
                -32003,
                "FAILED_PRECONDITION",
                400,
                "PUSH_NOTIFICATION_NOT_SUPPORTED",
            ),
            (E::UnsupportedOperation, -32004, "FAILED_PRECONDITION", 400, "UNSUPPORTED_OPERATION"),
            (E::ContentTypeNotSupported, -32005, "INVALID_ARGUMENT", 400, "CONTENT_TYPE_NOT_SUPPORTED"),
            (E::InvalidAgentResponse, -32006, "INTERNAL", 500, "INVALID_AGENT_RESPONSE"),
            (
                E::ExtendedAgentCardNotConfigured,
                -32007,
                "FAILED_PRECONDITION",
                400,
                "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
            ),
            (E::ExtensionSupportRequired, -32008, "FAILED_PRECONDITION", 400, "EXTENSION_SUPPORT_REQUIRED"),
            (E::VersionNotSupported, -32009, "FAILED_PRECONDITION", 400, "VERSION_NOT_SUPPORTED"),
        ] {
            let codes = (kind.json_rpc_code(), kind.grpc_status().name(), kind.http_status(), kind.reason());
            assert_eq!(codes, (code, grpc, http, Some(reason)), "{kind:?}");
        }
    }
}
