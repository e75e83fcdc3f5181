//! What an agent's card says: what the configuration says, completed by what the worker declares.

use crate::settings::HostSettings;
use crate::worker::protocol::{DeclaredCard, DeclaredSkill};
use a2a::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill,
    SecurityRequirement, SecurityScheme,
};
use mesh_config::Skill;
use std::collections::HashMap;

/// Our extension: event numbers in the SSE `id`, and resuming from a number. See `docs/event-log-extension.md`.
pub const EVENT_LOG_EXTENSION: &str = "urn:agentmesh:a2a-extension:event-log:v1";

/// Our extension: the memory of a context can be read. See `docs/context.md`.
pub const CONTEXT_EXTENSION: &str = "urn:agentmesh:a2a-extension:context:v1";

/// Our extension: which push notifications were given up, and trying them again. See `docs/push-state-extension.md`.
pub const PUSH_STATE_EXTENSION: &str = "urn:agentmesh:a2a-extension:push-state:v1";

pub(super) const V1: &str = "1.0";
pub(super) const V03: &str = "0.3";

/// Version of an agent that has none.
const FIRST_VERSION: &str = "0.1.0";
/// What an agent takes and gives if nobody says otherwise.
const PLAIN_TEXT: &str = "text/plain";

/// The card that everybody may see.
pub(super) fn card(settings: &HostSettings, declared: &DeclaredCard) -> AgentCard {
    let configured = &settings.agent.card;
    let name = first([configured.name.as_ref(), declared.name.as_ref()])
        .unwrap_or_else(|| settings.name.to_string());
    let description = first([Some(&configured.description), declared.description.as_ref()])
        .unwrap_or_else(|| format!("Agent {}", settings.name));
    let version = first([configured.version.as_ref(), declared.version.as_ref()]);
    let (security_schemes, security_requirements) = security(settings);
    AgentCard {
        version: version.unwrap_or_else(|| FIRST_VERSION.to_owned()),
        supported_interfaces: interfaces(settings.agent.url().trim_end_matches('/')),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(settings.push.per_task > 0),
            extensions: Some(declared_extensions(settings)),
            extended_agent_card: Some(configured.extended.is_some()),
        },
        default_input_modes: modes(configured.input_modes.as_deref(), &declared.input_modes),
        default_output_modes: modes(configured.output_modes.as_deref(), &declared.output_modes),
        skills: skills(settings, declared, &name, &description),
        provider: configured.provider.as_ref().map(|provider| AgentProvider {
            organization: provider.organization.clone(),
            url: provider.url.clone(),
        }),
        documentation_url: configured.documentation_url.clone(),
        icon_url: configured.icon_url.clone(),
        security_schemes,
        security_requirements,
        signatures: None,
        name,
        description,
    }
}

/// The card for callers who have proved who they are (section 3.1.11), if there is one.
pub(super) fn extended(settings: &HostSettings, public: &AgentCard) -> Option<AgentCard> {
    let more = settings.agent.card.extended.as_ref()?;
    let mut card = public.clone();
    if let Some(description) = first([more.description.as_ref()]) {
        card.description = description;
    }
    for skill in more.skills.iter().filter(|skill| !skill.id.is_empty()).map(configured_skill) {
        card.skills.retain(|known| known.id != skill.id);
        card.skills.push(skill);
    }
    Some(card)
}

/// The extensions that this host and its agent know: ours, then those of the configuration.
pub(crate) fn declared_extensions(settings: &HostSettings) -> Vec<AgentExtension> {
    let ours = [
        (EVENT_LOG_EXTENSION, "Event numbers, and resuming from one: Last-Event-ID or afterEvent"),
        (CONTEXT_EXTENSION, "The memory that agents keep in a context can be read"),
    ];
    let push =
        (PUSH_STATE_EXTENSION, "Tasks say which push notifications were given up; they can be tried again");
    let ours = ours.into_iter().chain((settings.push.per_task > 0).then_some(push));
    let ours = ours.map(|(uri, description)| AgentExtension {
        uri: uri.to_owned(),
        description: Some(description.to_owned()),
        required: Some(false),
        params: None,
    });
    let configured = settings.agent.card.extensions.iter().map(|extension| AgentExtension {
        uri: extension.uri.clone(),
        description: Some(extension.description.clone()).filter(|text| !text.is_empty()),
        required: Some(extension.required),
        params: extension.params.clone().map(|params| params.into_iter().collect()),
    });
    ours.chain(configured).collect()
}

/// How callers prove who they are. Nothing is asked of them yet.
fn security(
    _settings: &HostSettings,
) -> (Option<HashMap<String, SecurityScheme>>, Option<Vec<SecurityRequirement>>) {
    (None, None)
}

/// The first text that says something.
fn first<const N: usize>(texts: [Option<&String>; N]) -> Option<String> {
    texts.into_iter().flatten().find(|text| !text.is_empty()).cloned()
}

fn modes(configured: Option<&[String]>, declared: &[String]) -> Vec<String> {
    let said = [configured.unwrap_or_default(), declared];
    let modes = said.into_iter().find_map(filled).unwrap_or_default();
    if modes.is_empty() { vec![PLAIN_TEXT.to_owned()] } else { modes }
}

/// A list without its empty items, if anything is left.
fn filled(list: &[String]) -> Option<Vec<String>> {
    let list: Vec<String> = list.iter().filter(|item| !item.is_empty()).cloned().collect();
    (!list.is_empty()).then_some(list)
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

/// A card has at least one skill (section 5.7): an agent without any has the one that it is.
fn skills(
    settings: &HostSettings,
    declared: &DeclaredCard,
    name: &str,
    description: &str,
) -> Vec<AgentSkill> {
    let configured =
        settings.agent.card.skills.iter().filter(|skill| !skill.id.is_empty()).map(configured_skill);
    let declared = declared.skills.iter().filter(|skill| !skill.id.is_empty()).map(declared_skill);
    let configured: Vec<AgentSkill> = configured.collect();
    let mut skills = if configured.is_empty() { declared.collect() } else { configured };
    if skills.is_empty() {
        let only = Skill {
            id: settings.name.to_string(),
            name: Some(name.to_owned()),
            description: description.to_owned(),
            tags: Vec::new(),
            examples: Vec::new(),
            input_modes: Vec::new(),
            output_modes: Vec::new(),
        };
        skills.push(configured_skill(&only));
    }
    skills
}

/// What the specification requires and nobody says follows from the id.
fn configured_skill(skill: &Skill) -> AgentSkill {
    let name = first([skill.name.as_ref()]).unwrap_or_else(|| skill.id.clone());
    AgentSkill {
        id: skill.id.clone(),
        description: first([Some(&skill.description)]).unwrap_or_else(|| name.clone()),
        name,
        tags: filled(&skill.tags).unwrap_or_else(|| vec![skill.id.clone()]),
        examples: filled(&skill.examples),
        input_modes: filled(&skill.input_modes),
        output_modes: filled(&skill.output_modes),
        security_requirements: None,
    }
}

fn declared_skill(skill: &DeclaredSkill) -> AgentSkill {
    configured_skill(&Skill {
        id: skill.id.clone(),
        name: skill.name.clone(),
        description: skill.description.clone().unwrap_or_default(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: skill.input_modes.clone(),
        output_modes: skill.output_modes.clone(),
    })
}

/// Fuzz target: what a worker declares becomes a card that can be read; a card is written as it was read; and what is signed of
/// it is the same when it is read again.
#[cfg(feature = "fuzzing")]
pub fn fuzz(json: &[u8]) {
    if let Ok(any) = serde_json::from_slice::<serde_json::Value>(json) {
        let _ = mesh_card::signatures(&any);
        for reading in mesh_card::Reading::ALL {
            let Ok(payload) = reading.payload(&any) else { continue };
            let again = serde_json::from_str(&payload).ok().and_then(|again| reading.payload(&again).ok());
            assert_eq!(again.as_ref(), Some(&payload), "{reading:?}");
        }
    }
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
    let (public, key) =
        (card(&settings, &declared), mesh_card::PrivateKey::generate(mesh_card::Algorithm::EdDsa));
    let (Ok((key, _)), mut signed) = (key, written(&public)) else { return };
    let signing = mesh_card::Signing { key: &key, kid: "k", jku: "http://a.example/" };
    assert!(mesh_card::sign(&mut signed, signing).is_ok());
    let key = mesh_card::PublicKey::Jwk(key.public());
    let signatures = mesh_card::signatures(&signed);
    // Nothing that a worker declares leaves an empty value, in which the readings of verifiers differ.
    assert_eq!(signatures.len(), 1);
    assert!(signatures.iter().flatten().any(|claimed| mesh_card::verify(&signed, claimed, &key).is_ok()));
    let served =
        serde_json::from_value::<AgentCard>(signed).map(|served| AgentCard { signatures: None, ..served });
    assert_eq!(served.ok().map(|served| written(&served)), Some(written(&public)));
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
