//! Two versions of an upstream: a part of the calls goes to the other one (split), or is made there as well (shadow).

mod compare;
mod metrics;
mod shadow;
mod share;

pub(crate) use metrics::VersionMetrics;
pub(crate) use shadow::Shadowed;

use self::shadow::ShadowRoute;
use self::share::Share;
use crate::gateway::Gateway;
use crate::server::Route;
use crate::settings::Settings;
use crate::upstream::{Outgoing, RegisteredUpstream, Terms};
use mesh_core::Principal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The other versions of the upstreams that have some, by id.
#[derive(Default)]
pub(crate) struct Versions {
    splits: BTreeMap<Arc<str>, SplitRoute>,
    shadows: BTreeMap<Arc<str>, ShadowRoute>,
}

struct SplitRoute {
    to: Arc<RegisteredUpstream>,
    share: Share,
    by: mesh_config::SplitBy,
}

impl Versions {
    /// What the settings say. A version that is not there takes no calls; discovery reports it.
    pub(crate) fn new(settings: &Settings, upstreams: &BTreeMap<Arc<str>, Arc<RegisteredUpstream>>) -> Self {
        let mut versions = Self::default();
        for (id, config) in &settings.upstreams {
            if let Some(split) = &config.split
                && let Some(to) = upstreams.get(split.to.as_str())
            {
                let route = SplitRoute { to: Arc::clone(to), share: Share::new(split.percent), by: split.by };
                versions.splits.insert(id.as_str().into(), route);
            }
            if let Some(shadow) = &config.shadow
                && let Some(to) = upstreams.get(shadow.to.as_str())
            {
                versions.shadows.insert(id.as_str().into(), ShadowRoute::new(to, shadow));
            }
        }
        versions
    }

    /// The route by which a call goes: to the other version if it is its turn and that version has the tool.
    /// The split of the other version itself does not count.
    pub(crate) fn divert<'a>(
        &'a self,
        mut route: Route<'a>,
        principal: &Principal,
        metrics: &VersionMetrics,
    ) -> Route<'a> {
        let Some(split) = self.splits.get(&route.upstream.id) else { return route };
        let turn = match split.by {
            mesh_config::SplitBy::Call => split.share.next(),
            mesh_config::SplitBy::Principal => split.share.has(&route.upstream.id, principal),
        };
        let known = turn.then(|| split.to.known_tools().tools).flatten();
        let known = known.and_then(|tools| tools.by_name(&route.tool).cloned());
        let from = &route.upstream.id;
        metrics.split(from, if known.is_some() { &split.to.id } else { from });
        if known.is_some() {
            route.upstream = &split.to;
            route.known = known;
        }
        route
    }

    /// Makes the call at the shadow of its upstream as well, if there is one and it is its turn.
    pub(crate) fn shadow(
        &self,
        gateway: &Gateway,
        route: &Route<'_>,
        outgoing: &Outgoing<'_>,
        terms: &Terms<'_>,
    ) -> Option<Shadowed> {
        let shadow = self.shadows.get(&route.upstream.id)?;
        shadow.begin(route, outgoing, terms, gateway.closing(), &gateway.versions)
    }
}
