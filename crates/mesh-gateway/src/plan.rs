//! What a configuration makes: upstreams by id, toolsets of them, and who is reached under which path.

use crate::gateway::SetupError;
use crate::rejection::Rejection;
use crate::settings::Settings;
use crate::toolset::Toolset;
use crate::upstream::{self, RegisteredUpstream};
use crate::versions::Versions;
use mesh_core::Tenant;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Everything that follows from the settings. Immutable: another configuration makes another plan.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) upstreams: BTreeMap<Arc<str>, Arc<RegisteredUpstream>>,
    pub(crate) toolsets: BTreeMap<Arc<str>, Arc<Toolset>>,
    pub(crate) versions: Versions,
    /// Whoever holds the plan may use its upstreams: one that is retired waits for these.
    _uses: Vec<TaskTrackerToken>,
}

/// What a request at an MCP endpoint can see.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// `/mcp`: everything, under federated names.
    All,
    /// `/mcp/{upstream}`: one upstream, its names untouched.
    Upstream(&'a Arc<RegisteredUpstream>),
    /// `/mcp/{toolset}`: chosen tools of several upstreams.
    Toolset(&'a Arc<Toolset>),
}

/// How the upstreams of a plan differ from those of the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) kept: usize,
    pub(crate) added: Vec<Arc<str>>,
    pub(crate) replaced: Vec<Arc<str>>,
    pub(crate) removed: Vec<Arc<str>>,
}

impl Plan {
    /// Makes a plan. Nothing is started or connected yet.
    pub(crate) fn new(settings: Settings) -> Result<Self, SetupError> {
        Self::make(settings, None)
    }

    /// Makes the plan that comes after this one. An upstream whose configuration says the same is the same: with its
    /// connections, its processes and what is known of it.
    pub(crate) fn next(&self, settings: Settings) -> Result<Self, SetupError> {
        Self::make(settings, Some(self))
    }

    fn make(settings: Settings, before: Option<&Self>) -> Result<Self, SetupError> {
        let mut upstreams = BTreeMap::new();
        for (id, config) in &settings.upstreams {
            let kept = before.and_then(|before| {
                let same = before.settings.upstreams.get(id).is_some_and(|old| runs(old) == runs(config));
                before.upstreams.get(id.as_str()).filter(|_| same).map(Arc::clone)
            });
            let upstream = match kept {
                Some(kept) => kept,
                None => Arc::new(upstream::build(id, config, &settings)?),
            };
            upstreams.insert(Arc::clone(&upstream.id), upstream);
        }
        let toolset = |(id, config): (&String, &mesh_config::Toolset)| {
            let toolset = Arc::new(Toolset::new(id, config, settings.tenant.clone()));
            (Arc::clone(&toolset.id), toolset)
        };
        let toolsets = settings.toolsets.iter().map(toolset).collect();
        let versions = Versions::new(&settings, &upstreams);
        let uses = upstreams.values().map(|upstream| upstream.uses.token()).collect();
        Ok(Self { settings, upstreams, toolsets, versions, _uses: uses })
    }

    /// How this plan's upstreams differ from those of the plan before.
    pub(crate) fn difference(&self, before: &Self) -> Difference {
        let mut difference = Difference::default();
        for (id, upstream) in &self.upstreams {
            match before.upstreams.get(id) {
                Some(old) if Arc::ptr_eq(old, upstream) => difference.kept += 1,
                Some(_) => difference.replaced.push(Arc::clone(id)),
                None => difference.added.push(Arc::clone(id)),
            }
        }
        let gone = before.upstreams.keys().filter(|id| !self.upstreams.contains_key(*id));
        difference.removed = gone.cloned().collect();
        difference
    }

    /// The upstreams of a tenant, in the order of their ids.
    pub(crate) fn upstreams<'a>(
        &'a self,
        tenant: &'a Tenant,
    ) -> impl Iterator<Item = &'a Arc<RegisteredUpstream>> {
        self.upstreams.values().filter(move |upstream| upstream.tenant == *tenant)
    }

    /// The upstreams that a scope has, in its order.
    pub(crate) fn within<'a>(
        &'a self,
        scope: Scope<'a>,
        tenant: &Tenant,
    ) -> Vec<&'a Arc<RegisteredUpstream>> {
        match scope {
            Scope::All => self.upstreams.values().filter(|upstream| upstream.tenant == *tenant).collect(),
            Scope::Upstream(upstream) => vec![upstream],
            Scope::Toolset(toolset) => {
                toolset.upstreams().filter_map(|id| self.upstream(tenant, id)).collect()
            }
        }
    }

    /// One upstream, if it is the tenant's.
    pub(crate) fn upstream(&self, tenant: &Tenant, id: &str) -> Option<&Arc<RegisteredUpstream>> {
        self.upstreams.get(id).filter(|upstream| upstream.tenant == *tenant)
    }

    /// What is meant by the name behind `/mcp/`. What is another tenant's looks like what does not exist.
    pub(crate) fn scope(&self, tenant: &Tenant, name: Option<&str>) -> Result<Scope<'_>, Rejection> {
        let Some(name) = name else { return Ok(Scope::All) };
        if let Some(toolset) = self.toolsets.get(name).filter(|toolset| toolset.tenant == *tenant) {
            return Ok(Scope::Toolset(toolset));
        }
        let unknown = || Rejection::UnknownUpstream { upstream: name.chars().take(128).collect() };
        self.upstream(tenant, name).map(Scope::Upstream).ok_or_else(unknown)
    }
}

/// What of an upstream's configuration its connections and processes depend on.
fn runs(config: &mesh_config::Upstream) -> mesh_config::Upstream {
    mesh_config::Upstream {
        category: None,
        description: None,
        tags: Vec::new(),
        split: None,
        shadow: None,
        ..config.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let options = mesh_config::LoadOptions::new(&|_| None);
        Settings::from_mesh(&mesh_config::parse(text, "mesh.yaml", &options).unwrap())
    }

    #[test]
    fn an_upstream_that_says_the_same_is_the_same() {
        let before = Plan::new(settings(
            "tools: { a: { url: \"http://a\" }, b: { url: \"http://b\" }, c: { url: \"http://c\" } }",
        ))
        .unwrap();
        let after = before
            .next(settings(
                "tools: { a: { url: \"http://a\", category: x, split: { to: b, percent: 1 } }, b: { url: \"http://b\", timeout: 3s }, d: { url: \"http://d\" } }",
            ))
            .unwrap();
        let ids = |ids: &[&str]| ids.iter().map(|id| Arc::from(*id)).collect::<Vec<Arc<str>>>();
        assert_eq!(
            after.difference(&before),
            Difference { kept: 1, added: ids(&["d"]), replaced: ids(&["b"]), removed: ids(&["c"]) }
        );
    }

    #[test]
    fn a_retired_upstream_is_in_use_as_long_as_a_plan_with_it_is_held() {
        let before = Arc::new(Plan::new(settings("tools: { a: { url: \"http://a\" } }")).unwrap());
        let upstream = Arc::clone(before.upstreams.values().next().unwrap());
        let after = before.next(settings("")).unwrap();
        assert!(after.upstreams.is_empty() && upstream.uses.len() == 1);
        let request = Arc::clone(&before);
        drop(before);
        assert_eq!(upstream.uses.len(), 1);
        drop(request);
        assert_eq!(upstream.uses.len(), 0);
    }

    #[test]
    fn a_path_is_a_toolset_or_an_upstream_of_the_tenant() {
        let plan =
            Plan::new(settings("tools: { a: { url: \"http://a\" } }\ntoolsets: { kit: { tools: [a/x] } }"))
                .unwrap();
        let tenant = Tenant::from("default");
        assert!(matches!(plan.scope(&tenant, None), Ok(Scope::All)));
        assert!(matches!(plan.scope(&tenant, Some("kit")), Ok(Scope::Toolset(_))));
        assert!(matches!(plan.scope(&tenant, Some("a")), Ok(Scope::Upstream(_))));
        for (tenant, name) in [("other", "kit"), ("other", "a"), ("default", "none")] {
            assert!(plan.scope(&tenant.into(), Some(name)).is_err());
        }
    }
}
