use std::collections::BTreeMap;

use super::gateway::OptModel;
use super::storage::StorageAnywhere;
use super::{Access, Admin, Agent, Gateway, Limits, Model, Push, Storage, Telemetry, Toolset, Upstream};
use crate::kinds::{AgentName, Id, Named, UpstreamName};
use crate::section::{all_defaults, section};

section! {
    /// A mesh: agents, the tools they use, and the parts that connect them.
    pub struct Mesh {
        /// Name of the mesh.
        mesh: String as Id<AgentName> = "mesh",
        /// Where tasks and audit records are kept.
        storage: Storage as StorageAnywhere = ".agentmesh",
        /// The one door: MCP tools for agents, the directory, A2A routes.
        gateway: Gateway as Gateway = "{}",
        /// Health, metrics, the admin API and the console.
        admin: Admin as Admin = "{}",
        /// The language model that agents are told to use. None if the base URL is empty.
        model: Option<Model> as OptModel,
        /// MCP servers behind the gateway, by id.
        tools: BTreeMap<String, Upstream> as Named<UpstreamName, Upstream> = "{}",
        /// Chosen tools of several upstreams under one name, by id.
        toolsets: BTreeMap<String, Toolset> as Named<UpstreamName, Toolset> = "{}",
        /// Agents of the mesh, by id.
        agents: BTreeMap<String, Agent> as Named<AgentName, Agent> = "{}",
        /// Who may do what.
        access: Access as Access = "{}",
        /// Push notifications.
        push: Push as Push = "{}",
        /// Bounds on everything that is held in memory.
        limits: Limits as Limits = "{}",
        /// Logs and traces.
        telemetry: Telemetry as Telemetry = "{}",
    }
}

all_defaults!(Mesh);
