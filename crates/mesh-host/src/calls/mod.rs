//! What a worker's `call` lines reach: tools through the gateway, and other agents over A2A.
//!
//! The worker holds no credentials and needs no network: the host calls for it, as the agent, on behalf of whoever owns
//! the task.

mod agents;
mod discover;
mod gateway;
mod tools;
mod withdraw;

pub(crate) use discover::DiscoverCall;
pub(crate) use gateway::GatewayCalls;

use crate::worker::CallScope;
use crate::worker::protocol::{PeerEntry, ToolEntry};
use async_trait::async_trait;
use mesh_core::model::Part;
use serde_json::value::RawValue;
use std::time::Duration;

/// Why a call failed, in the words of the worker protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallErrorCode {
    NotAllowed,
    NotFound,
    Invalid,
    Timeout,
    Unavailable,
    Busy,
    Conflict,
    TooLarge,
    Failed,
}

impl CallErrorCode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
        }
    }
}

/// A call that failed: its message is safe to show to the worker.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CallError {
    pub(crate) code: CallErrorCode,
    pub(crate) message: String,
    /// Of a conflict: which version there is.
    pub(crate) actual: Option<u64>,
}

impl CallError {
    pub(crate) fn new(code: CallErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), actual: None }
    }

    pub(crate) fn busy(message: &str) -> Self {
        Self::new(CallErrorCode::Busy, message)
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::new(CallErrorCode::Invalid, message)
    }
}

/// Carries out a worker's calls.
#[async_trait]
pub(crate) trait Calls: Send + Sync + 'static {
    /// The tools that the agent may call.
    async fn tools(&self) -> Result<Vec<ToolEntry>, CallError>;

    /// The agents that the agent may call.
    async fn agents(&self) -> Result<Vec<PeerEntry>, CallError>;

    /// Calls a tool; the answer is the MCP `CallToolResult` as it came.
    async fn tool(
        &self,
        scope: &CallScope,
        name: &str,
        arguments: Option<&RawValue>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError>;

    /// Finds tools among those that the agent may call.
    async fn discover(
        &self,
        scope: &CallScope,
        call: &DiscoverCall,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError>;

    /// Asks an agent and waits for its answer, an A2A `SendMessage` result.
    async fn agent(
        &self,
        scope: &CallScope,
        name: &str,
        parts: Vec<Part>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError>;
}
