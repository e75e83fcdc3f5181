//! Who is there: agents from the configuration and those that registered themselves, their cards, their health.
//!
//! - `site`, `interfaces`: where an agent is, and where it is spoken to.
//! - `cards`, `rewrite`: cards as agents write them, and as they are served here.
//! - `agent`: one agent with all that is known of it.
//! - `record`, `registration`: agents that register themselves.
//! - `routes`, `documents`, `query`, `rank`: how the directory is read.

mod agent;
mod cards;
mod documents;
mod interfaces;
mod query;
mod rank;
mod record;
mod registration;
mod rewrite;
mod routes;
mod site;

pub(crate) use agent::Agent;
pub(crate) use cards::innermost;
pub(crate) use interfaces::choose;
pub(crate) use registration::{keep_in_step, register, remove};
pub(crate) use rewrite::{Door, card as rewritten_card};
pub(crate) use routes::{base, card, entry, routes};
pub(crate) use site::{Destination, Site};

use crate::agents::Clients;
use crate::gateway::{Gateway, SetupError};
use crate::settings::Settings;
use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use mesh_core::{Tenant, Timestamp};
use mesh_net::Allowed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Agents that are asked for their cards at the same time.
const LOOKS: usize = 16;

type Agents = BTreeMap<String, Arc<Agent>>;

/// All agents, each belonging to the one tenant there is.
pub(crate) struct Directory {
    pub(crate) tenant: Tenant,
    pub(crate) clients: Clients,
    configured: Agents,
    registered: ArcSwap<Agents>,
    /// One change of what is registered at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SetupError> {
        let allow = settings.directory.allow.as_ref();
        let allowed = allow.map(|entries| Arc::new(Allowed::new("directory.allow", entries)));
        let clients = Clients::new(settings.connect_timeout, settings.limits.idle_connections, allowed)?;
        let mut configured = Agents::new();
        for agent in &settings.agents {
            let wrong = |why: String| SetupError { id: format!("agents.{}", agent.name), why };
            let site = Site::configured(agent).map_err(wrong)?;
            let entry = Arc::new(Agent::new(&agent.name, site, settings));
            if configured.insert(agent.name.clone(), entry).is_some() {
                return Err(wrong("there are two agents of this name".to_owned()));
            }
        }
        Ok(Self {
            tenant: settings.tenant.clone(),
            clients,
            configured,
            registered: ArcSwap::default(),
            changing: tokio::sync::Mutex::new(()),
        })
    }

    /// The agent of this name, if it is there now.
    pub(crate) fn agent(&self, name: &str, now: Timestamp) -> Option<Arc<Agent>> {
        let found = self.configured.get(name).cloned().or_else(|| self.registered.load().get(name).cloned());
        found.filter(|agent| agent.counts(now))
    }

    /// All that are there now, in the order of their names.
    pub(crate) fn agents(&self, now: Timestamp) -> Vec<Arc<Agent>> {
        let registered = self.registered.load();
        let all = self.configured.values().chain(registered.values());
        let mut agents: Vec<_> = all.filter(|agent| agent.counts(now)).cloned().collect();
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        agents
    }
}

/// Looks after the agents until the gateway ends: which of them answer, which have registered at another replica of the
/// gateway, and which have not renewed their registration.
pub(crate) async fn look_after(gateway: Arc<Gateway>, every: Duration) {
    loop {
        keep_in_step(&gateway).await;
        let now = gateway.wiring.clock.now();
        let agents = gateway.directory.agents(now);
        let look = |agent: Arc<Agent>| async {
            let agent = agent;
            agent.look(&gateway.directory.clients, gateway.wiring.clock.now()).await;
            let up = agent.health() == agent::Health::Up;
            gateway.metrics.agents.up(&agent.name, up);
        };
        futures_util::stream::iter(agents).for_each_concurrent(LOOKS, look).await;
        tokio::time::sleep(every).await;
    }
}
