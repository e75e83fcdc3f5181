//! What the gateway is told: the part of the mesh file that concerns it, and bounds that the file does not name yet.

use mesh_core::{PrincipalId, Tenant};
use std::collections::BTreeMap;
use std::time::Duration;

/// An agent of the mesh, for the directory.
#[derive(Clone, Debug)]
pub struct AgentSite {
    /// Its name in the mesh.
    pub name: String,
    /// The base URL of its host.
    pub url: String,
    /// What it says about itself, until its card is known.
    pub description: Option<String>,
}

/// Whose requests are answered, by the host name they were sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Any: for a listener that other machines reach by names we do not know.
    Any,
    /// Loopback names and these: what a listener on a loopback address needs against DNS rebinding.
    LoopbackAnd(Vec<String>),
}

/// Bounds on what is held in memory, each per the thing it names.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request body (`limits.body`).
    pub body: usize,
    /// Deepest JSON in a request (`limits.depth`).
    pub depth: usize,
    /// Largest result of a tool, and largest list of an upstream (`limits.tool_result`).
    pub result: usize,
    /// Tools of one upstream.
    pub tools_per_upstream: usize,
    /// Pages of one upstream's list.
    pub list_pages: usize,
    /// Notifications of one call that wait for its client.
    pub notifications: usize,
    /// Idle connections to one upstream.
    pub idle_connections: usize,
    /// Sessions with one target of an upstream, or processes of one that has a process for each conversation.
    pub sessions: usize,
    /// Largest agent card.
    pub card: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            depth: 64,
            result: 16 << 20,
            tools_per_upstream: 2000,
            list_pages: 100,
            notifications: 32,
            idle_connections: 64,
            sessions: 1000,
            card: 256 << 10,
        }
    }
}

/// Everything the gateway is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose the upstreams and agents are, and the tenant of every caller while authentication is off.
    pub tenant: Tenant,
    /// Every caller while authentication is off.
    pub principal: PrincipalId,
    /// MCP servers by id.
    pub upstreams: BTreeMap<String, mesh_config::Upstream>,
    /// Toolsets by id. They share the paths below `/mcp/` with the upstreams.
    pub toolsets: BTreeMap<String, mesh_config::Toolset>,
    /// Agents for the directory.
    pub agents: Vec<AgentSite>,
    /// How long one `tools/call` may take, waiting included.
    pub call_timeout: Duration,
    /// How long a list waits for one upstream.
    pub list_timeout: Duration,
    /// How long a list of an upstream counts as current, unless the upstream says less.
    pub list_ttl: Duration,
    /// How long connecting to an upstream may take.
    pub connect_timeout: Duration,
    /// How long a session with an upstream, or a process of one conversation, is kept while nobody uses it.
    pub session_idle: Duration,
    /// Seals session ids, the same for all replicas; made at start if there is none.
    pub session_key: Option<mesh_config::Secret>,
    /// How long a client's session lasts.
    pub session_ttl: Duration,
    /// How long an agent's card counts as current, unless its host says otherwise.
    pub card_ttl: Duration,
    /// Host names that are served.
    pub hosts: Hosts,
    /// Origins (`scheme://host[:port]`) of web pages that may call, besides those on this machine.
    pub origins: Vec<String>,
    /// Whether `agentmesh-agent`, `agentmesh-task` and `agentmesh-tenant` say who asks: only while authentication
    /// is off.
    pub trust_agent_headers: bool,
    /// The URL under which others reach the gateway; otherwise documents use the host that was asked for.
    pub public_url: Option<String>,
    /// Put in front of the command of every child process; for a helper that ties it to our life.
    pub launcher: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: "default".into(),
            principal: "local".into(),
            upstreams: BTreeMap::new(),
            toolsets: BTreeMap::new(),
            agents: Vec::new(),
            call_timeout: Duration::from_secs(30),
            list_timeout: Duration::from_secs(5),
            list_ttl: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            session_idle: Duration::from_secs(600),
            session_key: None,
            session_ttl: Duration::from_secs(24 * 3600),
            card_ttl: Duration::from_secs(30),
            hosts: Hosts::LoopbackAnd(Vec::new()),
            origins: Vec::new(),
            trust_agent_headers: true,
            public_url: None,
            launcher: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// Takes what concerns the gateway from a mesh file.
    pub fn from_mesh(mesh: &mesh_config::Mesh) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let agent = |(name, agent): (&String, &mesh_config::Agent)| AgentSite {
            name: name.clone(),
            url: agent.url(),
            description: Some(agent.card.description.clone()).filter(|text| !text.is_empty()),
        };
        let loopback = mesh.gateway.listen.ip().is_loopback();
        Self {
            tenant: mesh.access.tenant.as_str().into(),
            principal: mesh.access.principal.as_str().into(),
            upstreams: mesh.tools.clone(),
            toolsets: mesh.toolsets.clone(),
            agents: mesh.agents.iter().map(agent).collect(),
            call_timeout: mesh.gateway.call_timeout,
            session_key: mesh.gateway.session_key.clone(),
            session_ttl: mesh.gateway.session_ttl,
            hosts: if loopback { Hosts::LoopbackAnd(Vec::new()) } else { Hosts::Any },
            limits: Limits {
                body: size(mesh.limits.body),
                depth: mesh.limits.depth,
                result: size(mesh.limits.tool_result),
                ..Limits::default()
            },
            ..Self::default()
        }
    }
}
