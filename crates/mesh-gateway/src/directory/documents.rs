//! The directory's documents.

use super::Agent;
use super::cards::Card;
use mesh_core::Tenant;
use serde_json::{Value, json};
use std::sync::Arc;

type Listed<'a> = (&'a Agent, Option<Arc<Card>>);

/// `GET /agents`: who is there, and where.
pub(super) fn agents(base: &str, listed: &[Listed<'_>]) -> Value {
    let entry = |(agent, card): &Listed<'_>| {
        let described = card.as_ref().and_then(|card| card.description.clone());
        let skills = card.as_ref().map_or(Value::Null, |card| card.skills.clone());
        json!({
            "name": agent.name,
            "description": described.or_else(|| agent.description.clone()).unwrap_or_default(),
            "url": agent.url,
            "cardUrl": card_url(base, agent),
            "skills": if skills.is_array() { skills } else { json!([]) },
            "known": card.is_some(),
        })
    };
    json!({ "agents": listed.iter().map(entry).collect::<Vec<_>>() })
}

/// The catalogue document of AI Catalog and ARD.
pub(super) fn catalog(base: &str, tenant: &Tenant, listed: &[Listed<'_>]) -> Value {
    const CARD: &str = "application/a2a-agent-card+json";
    let entry = |(agent, card): &Listed<'_>| {
        json!({
            "identifier": format!("urn:air:agentmesh:{tenant}:{}", agent.name),
            "displayName": agent.name,
            "description": card.as_ref().and_then(|card| card.description.clone()).unwrap_or_default(),
            "type": CARD,
            "mediaType": CARD,
            "url": card_url(base, agent),
        })
    };
    json!({ "specVersion": "1.0", "entries": listed.iter().map(entry).collect::<Vec<_>>() })
}

fn card_url(base: &str, agent: &Agent) -> String {
    format!("{base}/agents/{}/.well-known/agent-card.json", agent.name)
}
