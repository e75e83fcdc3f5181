//! The lines of the worker protocol, version 1.

use bytes::Bytes;
use mesh_core::Principal;
use mesh_core::model::{Artifact, Message, Part, TaskState};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that this host speaks.
pub(crate) const VERSION: u32 = 1;

/// A tool or agent as `config` announces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolEntry {
    /// `upstream/tool`.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) input_schema: serde_json::Value,
}

/// A peer as `config` announces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerEntry {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
}

/// The model endpoint; not `Debug`, because of the key.
#[derive(Clone, Serialize)]
pub(crate) struct ModelEntry {
    pub(crate) base_url: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// What a context's memory takes. That it is there tells a worker that there are calls of `memory` and `history`.
#[derive(Serialize)]
pub(crate) struct MemoryLimits {
    pub(crate) entry_bytes: u64,
    pub(crate) entries: usize,
    pub(crate) key_bytes: usize,
}

#[derive(Serialize)]
pub(crate) struct LineLimits {
    pub(crate) line_bytes: u64,
    pub(crate) event_bytes: u64,
}

/// A line to the worker.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ToWorker<'a> {
    Config {
        protocol: u32,
        agent: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<&'a ModelEntry>,
        tools: &'a [ToolEntry],
        agents: &'a [PeerEntry],
        limits: LineLimits,
        memory: MemoryLimits,
        cancel_grace_ms: u64,
    },
    Task {
        task: &'a str,
        attempt: u32,
        context: &'a str,
        tenant: &'a str,
        principal: &'a Principal,
        message: &'a Message,
        answers: &'a [Message],
        traceparent: String,
    },
    Input {
        task: &'a str,
        attempt: u32,
        message: &'a Message,
    },
    Cancel {
        task: &'a str,
        attempt: u32,
    },
    Reply {
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ReplyError<'a>>,
    },
    Ping {
        id: u64,
    },
}

/// Why a call failed.
#[derive(Serialize)]
pub(crate) struct ReplyError<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    /// Of a conflict: which version there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actual: Option<u64>,
}

impl ToWorker<'_> {
    /// The line with its newline.
    pub(crate) fn encode(&self) -> Bytes {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        Bytes::from(line)
    }
}

/// A line from the worker, of any type: which fields count depends on `type`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FromWorker<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind_of_line: std::borrow::Cow<'a, str>,
    #[serde(default)]
    pub(crate) protocol: Option<u32>,
    #[serde(default)]
    pub(crate) sdk: Option<String>,
    #[serde(default)]
    pub(crate) framework: Option<String>,
    #[serde(default)]
    pub(crate) card: Option<DeclaredCard>,
    #[serde(borrow, default)]
    pub(crate) task: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    pub(crate) attempt: Option<u32>,
    #[serde(borrow, default)]
    pub(crate) kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) parts: Option<Vec<Part>>,
    #[serde(default)]
    pub(crate) artifact_id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) artifact: Option<Artifact>,
    #[serde(default)]
    pub(crate) append: Option<bool>,
    #[serde(default)]
    pub(crate) last_chunk: Option<bool>,
    #[serde(borrow, default)]
    pub(crate) state: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    pub(crate) detail: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) id: Option<u64>,
    #[serde(default)]
    pub(crate) tool: Option<String>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) agent: Option<String>,
    #[serde(borrow, default)]
    pub(crate) memory: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) history: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) discover: Option<&'a RawValue>,
    #[serde(default, rename = "timeout_ms")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) traceparent: Option<String>,
}

/// What a worker says about its agent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredCard {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) input_modes: Vec<String>,
    #[serde(default)]
    pub(crate) output_modes: Vec<String>,
    #[serde(default)]
    pub(crate) skills: Vec<DeclaredSkill>,
}

/// A skill that a worker declares.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredSkill {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) examples: Vec<String>,
    #[serde(default)]
    pub(crate) input_modes: Vec<String>,
    #[serde(default)]
    pub(crate) output_modes: Vec<String>,
}

impl FromWorker<'_> {
    /// `parts`, or `text` as one part; empty if there is neither.
    pub(crate) fn take_parts(&mut self) -> Vec<Part> {
        match (self.parts.take(), self.text.take()) {
            (Some(parts), _) => parts,
            (None, Some(text)) => vec![Part::text(text)],
            (None, None) => Vec::new(),
        }
    }

    /// The state that the line names.
    pub(crate) fn task_state(&self) -> Option<TaskState> {
        self.state.as_deref().and_then(TaskState::parse)
    }
}
