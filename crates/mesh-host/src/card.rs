//! The agent card (A2A 1.0, section 4.4): what the configuration says, completed by what the worker declares.

use crate::settings::HostSettings;
use crate::worker::protocol::DeclaredCard;
use a2a::{AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Our extension: event numbers in the SSE `id`, and resuming from a number. See `docs/event-log-extension.md`.
pub const EVENT_LOG_EXTENSION: &str = "urn:agentmesh:a2a-extension:event-log:v1";

/// Our extension: which push notifications were given up, and trying them again. See `docs/push-state-extension.md`.
pub const PUSH_STATE_EXTENSION: &str = "urn:agentmesh:a2a-extension:push-state:v1";

const V1: &str = "1.0";
const V03: &str = "0.3";

/// A card as it is served.
#[derive(Clone)]
pub(crate) struct ServedCard {
    pub(crate) body: Bytes,
    /// Strong entity tag, with its quotes.
    pub(crate) etag: String,
}

/// The card of the agent, ready to be served.
pub(crate) fn serve(settings: &HostSettings, declared: &DeclaredCard) -> ServedCard {
    let body = serde_json::to_vec(&BothVersions::of(card(settings, declared))).unwrap_or_default();
    let digest = Sha256::digest(&body);
    let etag = digest[..8].iter().fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}")) + "\"";
    ServedCard { body: Bytes::from(body), etag }
}

/// The card of 1.0 with the fields by which clients of 0.3 find the endpoint. Neither version minds those of the other.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BothVersions {
    #[serde(flatten)]
    card: AgentCard,
    url: String,
    preferred_transport: &'static str,
    protocol_version: &'static str,
    supports_authenticated_extended_card: bool,
}

impl BothVersions {
    fn of(card: AgentCard) -> Self {
        let old = card.supported_interfaces.iter().find(|interface| interface.protocol_version == V03);
        Self {
            url: old.map(|interface| interface.url.clone()).unwrap_or_default(),
            preferred_transport: "JSONRPC",
            protocol_version: "0.3.0",
            supports_authenticated_extended_card: card.capabilities.extended_agent_card == Some(true),
            card,
        }
    }
}

fn card(settings: &HostSettings, declared: &DeclaredCard) -> AgentCard {
    let configured = &settings.agent.card;
    let description = if configured.description.is_empty() {
        declared.description.clone().unwrap_or_else(|| format!("Agent {}", settings.name))
    } else {
        configured.description.clone()
    };
    AgentCard {
        name: configured
            .name
            .clone()
            .or_else(|| declared.name.clone())
            .unwrap_or_else(|| settings.name.to_string()),
        description,
        version: configured.version.clone(),
        supported_interfaces: interfaces(settings.agent.url().trim_end_matches('/')),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(settings.push.per_task > 0),
            extensions: Some(extensions(settings)),
            extended_agent_card: Some(false),
        },
        default_input_modes: configured.input_modes.clone(),
        default_output_modes: configured.output_modes.clone(),
        skills: skills(settings, declared),
        provider: configured.provider.as_ref().map(|provider| AgentProvider {
            organization: provider.organization.clone(),
            url: provider.url.clone(),
        }),
        documentation_url: configured.documentation_url.clone(),
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}

/// The extensions of ours that are there.
fn extensions(settings: &HostSettings) -> Vec<AgentExtension> {
    let extension = |uri: &str, description: &str| AgentExtension {
        uri: uri.to_owned(),
        description: Some(description.to_owned()),
        required: Some(false),
        params: None,
    };
    let mut extensions = vec![extension(
        EVENT_LOG_EXTENSION,
        "Event numbers in the SSE id; Last-Event-ID resumes after a number",
    )];
    if settings.push.per_task > 0 {
        extensions.push(extension(
            PUSH_STATE_EXTENSION,
            "Tasks say which push notifications were given up; RetryTaskPushNotificationConfig tries them again",
        ));
    }
    extensions
}

/// What is served under a base URL without a slash at its end, best first.
fn interfaces(base: &str) -> Vec<AgentInterface> {
    let interface = |binding: &str, version: &str, url: String| AgentInterface {
        url,
        protocol_binding: binding.to_owned(),
        protocol_version: version.to_owned(),
        tenant: None,
    };
    let rpc = |version| interface("JSONRPC", version, format!("{base}/"));
    let grpc = grpc_address(base).map(|address| interface("GRPC", V1, address));
    let rest = interface("HTTP+JSON", V1, base.to_owned());
    [Some(rpc(V1)), grpc, Some(rest), Some(rpc(V03))].into_iter().flatten().collect()
}

/// `host:port`, as gRPC names a server. It has no paths, so an agent under a path cannot be reached by it.
fn grpc_address(base: &str) -> Option<String> {
    let uri: http::Uri = base.parse().ok()?;
    if uri.path() != "/" && !uri.path().is_empty() {
        return None;
    }
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    Some(format!("{}:{port}", uri.host()?))
}

fn skills(settings: &HostSettings, declared: &DeclaredCard) -> Vec<AgentSkill> {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    if !settings.agent.card.skills.is_empty() {
        let configured = settings.agent.card.skills.iter();
        return configured
            .map(|skill| AgentSkill {
                id: skill.id.clone(),
                name: skill.name.clone().unwrap_or_else(|| skill.id.clone()),
                description: skill.description.clone(),
                tags: skill.tags.clone(),
                examples: some(&skill.examples),
                input_modes: some(&skill.input_modes),
                output_modes: some(&skill.output_modes),
                security_requirements: None,
            })
            .collect();
    }
    let declared = declared.skills.iter();
    declared
        .map(|skill| AgentSkill {
            id: skill.id.clone(),
            name: skill.name.clone().unwrap_or_else(|| skill.id.clone()),
            description: skill.description.clone().unwrap_or_default(),
            tags: skill.tags.clone(),
            examples: None,
            input_modes: None,
            output_modes: None,
            security_requirements: None,
        })
        .collect()
}

/// Fuzz target: what a worker declares becomes a card that can be read; and a card is written as it was read.
#[cfg(feature = "fuzzing")]
pub fn fuzz(json: &[u8]) {
    let written = |card: &AgentCard| serde_json::to_value(card).unwrap_or_default();
    if let Ok(card) = serde_json::from_slice::<AgentCard>(json) {
        let again = serde_json::from_value::<AgentCard>(written(&card));
        assert_eq!(again.ok().map(|again| written(&again)), Some(written(&card)));
    }
    let Ok(declared) = serde_json::from_slice::<DeclaredCard>(json) else { return };
    let file = "agents: {a: {listen: 127.0.0.1:8090, worker: {command: [sh]}}}";
    let Ok(mesh) = mesh_config::parse(file, "mesh.yaml", &mesh_config::LoadOptions::new(&|_| None)) else {
        return;
    };
    let Some(agent) = mesh.agents.get("a") else { return };
    let settings = HostSettings {
        name: mesh_core::AgentName::from("a"),
        agent: agent.clone(),
        limits: mesh.limits.clone(),
        model: None,
        push: mesh.push.clone(),
        gateway_url: String::new(),
        caller: mesh_core::Principal::local(),
    };
    let served = serde_json::from_slice::<AgentCard>(&serve(&settings, &declared).body);
    let own = serde_json::to_value(card(&settings, &declared)).unwrap_or_default();
    assert_eq!(served.ok().map(|served| written(&served)), Some(own));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(base: &str) -> Vec<String> {
        interfaces(base)
            .into_iter()
            .map(|i| format!("{} {} {}", i.protocol_binding, i.protocol_version, i.url))
            .collect()
    }

    #[test]
    fn what_is_served_depends_on_where_the_agent_is() {
        assert_eq!(
            served("https://a.example"),
            [
                "JSONRPC 1.0 https://a.example/",
                "GRPC 1.0 a.example:443",
                "HTTP+JSON 1.0 https://a.example",
                "JSONRPC 0.3 https://a.example/",
            ]
        );
        assert_eq!(
            served("http://a.example/agents/x"),
            [
                "JSONRPC 1.0 http://a.example/agents/x/",
                "HTTP+JSON 1.0 http://a.example/agents/x",
                "JSONRPC 0.3 http://a.example/agents/x/",
            ]
        );
        assert_eq!(grpc_address("http://[::1]:8090"), Some("[::1]:8090".to_owned()));
        assert_eq!(grpc_address("http://a.example"), Some("a.example:80".to_owned()));
    }
}
