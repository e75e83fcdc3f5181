use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use crate::context::Context;
use crate::kinds::{
    AgentName, Id, Listen, Opt, OptSecret, PathFromFile, PathInStorage, Text, Timeout, Url, choice,
};
use crate::secret::Secret;
use crate::section::{Kind, all_defaults, section};
use crate::tree::Node;

section! {
    /// The one door: MCP tools for agents, the directory of agents, A2A routes to them.
    pub struct Gateway {
        /// Address to listen on.
        listen: SocketAddr as Listen = "127.0.0.1:3003",
        /// How long one tools/call may take.
        call_timeout: Duration as Timeout = "30s",
        /// Secret that seals the session ids of MCP clients: the same in all replicas of a gateway. Without one it is made at start, and sessions end with the process.
        session_key: Option<Secret> as OptSecret,
        /// How long the session of an MCP client lasts.
        session_ttl: Duration as Timeout = "24h",
        /// File for audit records; a relative path starts in the storage directory.
        audit: PathBuf as PathInStorage = "audit.jsonl",
        /// Directory of files with more upstreams and toolsets (*.yaml, *.yml), taken over while the gateway runs.
        watch: Option<PathBuf> as Opt<PathFromFile>,
        /// When changed upstreams and toolsets are taken over: auto (soon after a file changed) or manual (SIGHUP, agentmesh reload).
        reload: Reload as Reload = "auto",
    }
}

choice! {
    /// When changed files are taken over.
    pub enum Reload {
        /// Soon after a file changed.
        Auto = "auto",
        /// When somebody asks for it.
        Manual = "manual",
    }
}

section! {
    /// Health, metrics, the admin API and the console.
    pub struct Admin {
        /// Address to listen on.
        listen: SocketAddr as Listen = "127.0.0.1:3004",
    }
}

section! {
    /// The language model that agents are told to use.
    pub struct Model {
        /// Base URL of an OpenAI-compatible API. Empty means that there is no model.
        base_url: String as Url,
        /// Name of the model.
        name: String as Text,
        /// Key of the API: a reference, never the key itself.
        key: Option<Secret> as OptSecret,
    }
}

/// A model, or none: an empty `base_url` means that there is none.
pub(crate) enum OptModel {}

impl Kind for OptModel {
    type Value = Option<Model>;

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let url = node.get("base_url").and_then(|url| cx.peek(url));
        if url.is_some_and(|url| url.is_empty()) {
            let known = crate::section::check_names::<Model>(node, cx)?;
            let key = crate::section::decode_field::<OptSecret>(node, "key", None, cx);
            return (known && key.is_some()).then_some(None);
        }
        Model::decode(node, cx).map(Some)
    }

    fn render(value: &Self::Value) -> Json {
        value.as_ref().map_or(Json::Null, Model::render)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let model = Model::schema(generator);
        json_schema!({
            "anyOf": [model, {
                "type": "object",
                "properties": { "base_url": { "const": "" } },
                "required": ["base_url"],
            }]
        })
    }
}

choice! {
    /// How callers prove who they are.
    pub enum Auth {
        /// Not at all: everybody is the local principal.
        Off = "off",
    }
    planned: "planned: API keys and OpenID Connect"
}

section! {
    /// Who may do what.
    pub struct Access {
        /// How callers prove who they are. Only off, so far.
        auth: Auth as Auth = "off",
        /// Tenant of every caller while auth is off.
        tenant: String as Id<AgentName> = "default",
        /// Principal of every caller while auth is off.
        principal: String as Id<AgentName> = "local",
    }
}

choice! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line, for machines.
        Json = "json",
    }
}

choice! {
    /// Which log lines are written.
    pub enum Level {
        /// Everything.
        Trace = "trace",
        /// What a developer needs.
        Debug = "debug",
        /// What happened.
        Info = "info",
        /// What somebody should look at.
        Warn = "warn",
        /// What failed.
        Error = "error",
    }
}

section! {
    /// Logs and traces.
    pub struct Telemetry {
        /// How log lines look: text or json.
        log: LogFormat as LogFormat = "text",
        /// Lowest level that is logged.
        level: Level as Level = "info",
        /// OTLP endpoint (HTTP) that traces are sent to.
        otlp: Option<String> as Opt<Url>,
    }
}

all_defaults!(Gateway, Admin, Access, Telemetry);
