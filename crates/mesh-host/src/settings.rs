//! What a host has to know about its agent.

use mesh_config::{Agent, Limits, Model, OnWorkerLoss, Push};
use mesh_core::lifecycle::{self, Policy};
use mesh_core::{AgentName, Principal};

/// The part of a mesh's configuration that concerns one host.
#[derive(Clone)]
pub struct HostSettings {
    /// The agent's id.
    pub name: AgentName,
    /// Its section of the mesh file.
    pub agent: Agent,
    /// The mesh's bounds.
    pub limits: Limits,
    /// The model that its worker is told to use.
    pub model: Option<Model>,
    /// How it sends push notifications.
    pub push: Push,
    /// Base URL of the gateway, without a slash at the end.
    pub gateway_url: String,
    /// Who every caller is while authentication is off.
    pub caller: Principal,
}

impl HostSettings {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            on_worker_loss: match self.agent.tasks.on_worker_loss {
                OnWorkerLoss::Retry(times) => lifecycle::OnWorkerLoss::Retry(times),
                OnWorkerLoss::Fail => lifecycle::OnWorkerLoss::Fail,
            },
            max_events: self.limits.task_events,
            max_bytes: self.limits.task_bytes,
        }
    }

    pub(crate) fn body_limit(&self) -> usize {
        usize::try_from(self.limits.body).unwrap_or(usize::MAX)
    }
}
