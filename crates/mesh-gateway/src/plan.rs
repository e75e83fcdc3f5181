//! What a configuration makes: upstreams by id, and who is reached under which path.

use crate::gateway::SetupError;
use crate::rejection::Rejection;
use crate::settings::Settings;
use crate::upstream::{self, RegisteredUpstream};
use mesh_core::Tenant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that follows from the settings. Immutable: another configuration makes another plan.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) upstreams: BTreeMap<Arc<str>, Arc<RegisteredUpstream>>,
}

/// What a request at an MCP endpoint can see.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// `/mcp`: everything, under federated names.
    All,
    /// `/mcp/{upstream}`: one upstream, its names untouched.
    Upstream(&'a Arc<RegisteredUpstream>),
}

impl Plan {
    /// Makes a plan. Nothing is started or connected yet.
    pub(crate) fn new(settings: Settings) -> Result<Self, SetupError> {
        let mut upstreams = BTreeMap::new();
        for (id, config) in &settings.upstreams {
            let upstream = upstream::build(id, config, &settings)?;
            upstreams.insert(Arc::clone(&upstream.id), Arc::new(upstream));
        }
        Ok(Self { settings, upstreams })
    }

    /// The upstreams of a tenant, in the order of their ids.
    pub(crate) fn upstreams<'a>(
        &'a self,
        tenant: &'a Tenant,
    ) -> impl Iterator<Item = &'a Arc<RegisteredUpstream>> {
        self.upstreams.values().filter(move |upstream| upstream.tenant == *tenant)
    }

    /// One upstream, if it is the tenant's.
    pub(crate) fn upstream(&self, tenant: &Tenant, id: &str) -> Option<&Arc<RegisteredUpstream>> {
        self.upstreams.get(id).filter(|upstream| upstream.tenant == *tenant)
    }

    /// What is meant by the name behind `/mcp/`. What is another tenant's looks like what does not exist.
    pub(crate) fn scope(&self, tenant: &Tenant, name: Option<&str>) -> Result<Scope<'_>, Rejection> {
        let Some(name) = name else { return Ok(Scope::All) };
        let unknown = || Rejection::UnknownUpstream { upstream: name.chars().take(128).collect() };
        self.upstream(tenant, name).map(Scope::Upstream).ok_or_else(unknown)
    }
}
