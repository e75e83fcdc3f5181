//! The directory's documents.

use super::agent::Agent;
use super::cards::Card;
use mesh_core::Tenant;
use serde_json::{Value, json};
use std::sync::Arc;

const CARD: &str = "application/a2a-agent-card+json";
const REGISTRY: &str = "application/ai-registry+json";

/// One agent: who it is, where, and how it is.
pub(super) fn agent(base: &str, agent: &Agent, card: Option<&Card>) -> Value {
    let skills = card.map_or(Value::Null, |card| card.skills.clone());
    let mut entry = json!({
        "name": agent.name,
        "description": agent.description(card),
        "url": agent.address(),
        "route": format!("{base}/agents/{}", agent.name),
        "cardUrl": card_url(base, agent),
        "skills": if skills.is_array() { skills } else { json!([]) },
        "tags": agent.site.tags,
        "source": agent.site.source.name(),
        "health": agent.health().name(),
        "known": card.is_some(),
    });
    if let Some(seen) = agent.last_seen() {
        entry["lastSeen"] = json!(seen);
    }
    if let Some(lease) = agent.lease() {
        entry["expires"] = json!(lease.expires);
        entry["version"] = json!(lease.version.to_string());
    }
    entry
}

/// `GET /agents`
pub(super) fn agents(agents: Vec<Value>, next: Option<&str>) -> Value {
    let mut list = json!({ "agents": agents });
    if let Some(next) = next {
        list["nextPageToken"] = next.into();
    }
    list
}

fn catalog_entry(base: &str, tenant: &Tenant, agent: &Agent, card: Option<&Card>) -> Value {
    json!({
        "identifier": format!("urn:air:agentmesh:{tenant}:{}", agent.name),
        "displayName": agent.name,
        "description": agent.description(card),
        "type": CARD,
        "mediaType": CARD,
        "url": card_url(base, agent),
    })
}

/// One result of `POST /search`.
pub(super) fn result(base: &str, tenant: &Tenant, agent: &Agent, card: Option<&Card>, score: f64) -> Value {
    let mut entry = catalog_entry(base, tenant, agent, card);
    entry["name"] = json!(agent.name);
    entry["tags"] = json!(agent.site.tags);
    entry["health"] = json!(agent.health().name());
    entry["score"] = json!(score);
    entry["source"] = json!(base);
    entry
}

/// `POST /search`
pub(super) fn results(results: Vec<Value>, next: Option<&str>) -> Value {
    json!({ "results": results, "referrals": [], "pageToken": next.unwrap_or_default() })
}

/// The catalogue document of AI Catalog and ARD: every agent, and where they are searched.
pub(super) fn catalog(base: &str, tenant: &Tenant, listed: &[(Arc<Agent>, Option<Arc<Card>>)]) -> Value {
    let entries = listed.iter().map(|(agent, card)| catalog_entry(base, tenant, agent, card.as_deref()));
    let registry = json!({
        "identifier": format!("urn:air:agentmesh:{tenant}"),
        "displayName": "Agent directory",
        "description": "Finds the agents of this mesh: POST /search",
        "type": REGISTRY,
        "mediaType": REGISTRY,
        "url": base,
    });
    json!({ "specVersion": "1.0", "entries": entries.chain([registry]).collect::<Vec<_>>() })
}

fn card_url(base: &str, agent: &Agent) -> String {
    format!("{base}/agents/{}/.well-known/agent-card.json", agent.name)
}
