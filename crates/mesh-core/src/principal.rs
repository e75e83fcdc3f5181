//! Who asks.

use crate::ids::{PrincipalId, Tenant};
use serde::{Deserialize, Serialize};

/// What kind of thing a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A human being.
    Person,
    /// An agent of a mesh.
    Agent,
    /// Any other program.
    Service,
}

/// An authenticated caller, its tenant, and for whom it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Whose data the caller may reach at most.
    pub tenant: Tenant,
    /// Its name within the tenant.
    pub id: PrincipalId,
    /// What it is.
    pub kind: PrincipalKind,
    /// What its rules are found by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The principal it acts for, when an agent works on somebody's task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PrincipalId>,
}

impl Principal {
    /// The one user of a mesh without authentication: `local` of tenant `default`.
    pub fn local() -> Self {
        Self::person("default", "local")
    }

    /// A person without roles.
    pub fn person(tenant: impl Into<Tenant>, id: impl Into<PrincipalId>) -> Self {
        Self {
            tenant: tenant.into(),
            id: id.into(),
            kind: PrincipalKind::Person,
            roles: Vec::new(),
            on_behalf_of: None,
        }
    }

    /// An agent that works on a task of `owner`.
    pub fn agent_for(agent: &crate::ids::AgentName, owner: &Self) -> Self {
        Self {
            tenant: owner.tenant.clone(),
            id: PrincipalId::new(agent.as_str()),
            kind: PrincipalKind::Agent,
            roles: Vec::new(),
            on_behalf_of: Some(owner.on_behalf_of.clone().unwrap_or_else(|| owner.id.clone())),
        }
    }
}
