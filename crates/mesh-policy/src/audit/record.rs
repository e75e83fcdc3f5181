//! What a record says.

use mesh_core::{AgentName, Principal, PrincipalId, PrincipalKind, TaskId, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// The tool answered that it failed (`isError`).
    ToolError,
    /// The agent answered with an error.
    AgentError,
    /// The request or the answer broke the protocol, or the upstream answered with a protocol error.
    ProtocolError,
    /// No rule allowed it.
    Denied,
    /// No such tool or upstream, or not for this caller.
    NotFound,
    /// It took too long.
    Timeout,
    /// The upstream could not be reached, or broke off.
    UpstreamUnavailable,
    /// The client left before the answer.
    ClientGone,
    /// Too much was waiting already.
    Busy,
    /// Something of ours failed.
    Internal,
}

impl Outcome {
    /// The name as records and metrics carry it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::AgentError => "agent_error",
            Self::ProtocolError => "protocol_error",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::ClientGone => "client_gone",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }
}

/// The access decision of a call, with the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// Whether it was allowed.
    pub allowed: bool,
    /// By which rule.
    pub rule: String,
}

/// One call: who did what to what, on whose behalf, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// When the call came.
    pub time: Timestamp,
    /// Unique, and sorted by time (UUIDv7).
    pub id: String,
    /// What was asked for: `tools/call`, `message/send`, `task/read` …
    pub action: String,
    /// Whose data it touched; absent when the caller was not authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Who asked; absent when the caller was not authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// What kind of principal that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_kind: Option<PrincipalKind>,
    /// For whom, when an agent asked on somebody's behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PrincipalId>,
    /// The agent that asked, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The task the call belongs to, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The operation of A2A, by its name in 1.0, of a request to an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The agent that was asked; what the caller wrote, when there is none of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_agent: Option<String>,
    /// The upstream, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The tool, by the upstream's own name; what the caller wrote, when it could not be resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The access decision; absent when the call did not get that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, low in cardinality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
    /// The trace the call belongs to.
    pub trace_id: String,
    /// SHA-256 of the arguments exactly as they were received, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
}

impl AuditRecord {
    /// Notes who asks.
    pub fn caller(&mut self, principal: &Principal) {
        self.tenant = Some(principal.tenant.clone());
        self.principal = Some(principal.id.clone());
        self.principal_kind = Some(principal.kind);
        self.on_behalf_of = principal.on_behalf_of.clone();
        if principal.kind == PrincipalKind::Agent {
            self.agent = Some(AgentName::new(principal.id.as_str()));
        }
    }
}
