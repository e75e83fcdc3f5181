use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::context::Context;
use crate::kinds::{
    AgentName, Count, Flag, HeaderName, HeaderSecret, List, Named, Opt, PathFromFile, Text, Timeout, Url,
};
use crate::secret::Secret;
use crate::section::{Kind, all_defaults, section};
use crate::tree::Node;

section! {
    /// Agents that are not run here but can be found here, and the way to all agents through the gateway.
    pub struct Directory {
        /// A2A servers outside of this mesh, by the name they get here.
        agents: BTreeMap<String, OutsideAgent> as Named<AgentName, OutsideAgent> = "{}",
        /// Whether agents may register themselves.
        registration: bool as Flag = "true",
        /// How many may be registered at a time.
        registered: usize as Count<usize, 0, 100_000> = "1000",
        /// How long a registration counts that does not say for how long.
        lease: Duration as Timeout = "60s",
        /// The longest time for which it may ask.
        longest_lease: Duration as Timeout = "24h",
        /// Where registered agents may be although it is not public: networks (10.1.0.0/16), addresses, or names of hosts.
        /// Everywhere, if the gateway listens on a loopback address.
        allow: Vec<String> as List<Text> = "[]",
        /// How long an agent may take to answer what needs no work: to read, list or cancel tasks.
        timeout: Duration as Timeout = "30s",
        /// How long it may take to answer a message that is waited for.
        send_timeout: Duration as Timeout = "1h",
        /// How long an event stream may be silent.
        stream_idle: Duration as Timeout = "1h",
        /// Requests to one agent that are open at the same time, streams included; more are refused.
        concurrency: usize as Count<usize, 1, 1_000_000> = "10000",
        /// How often agents are asked for their cards, to see whether they are well.
        health_interval: Duration as Timeout = "10s",
    }
}

/// An A2A server outside of this mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct OutsideAgent {
    /// Base addresses: one, whose card says where it is spoken to, or several replicas that are all alike. Never empty.
    pub targets: Vec<String>,
    /// Where its card is, from the base address.
    pub card_path: Option<String>,
    /// Headers of every request to it; names in lower case.
    pub headers: BTreeMap<String, Secret>,
    /// Files with public keys, one of which must have signed its card.
    pub card_keys: Vec<PathBuf>,
    /// What it is for, until its card is known.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

section! {
    /// An A2A server outside of this mesh. Either url or targets says where it is.
    pub(crate) struct OutsideAgentFields {
        /// Its base address. Where it is spoken to, its card says.
        url: Option<String> as Opt<Url>,
        /// Base addresses of replicas that are all alike. The paths are those of the card.
        targets: Option<Vec<String>> as Opt<crate::kinds::NonEmpty<Url>>,
        /// Where its card is, from the base address. /.well-known/agent-card.json if left out.
        card_path: Option<String> as Opt<Text>,
        /// Headers of every request to it. Secrets only by reference.
        headers: BTreeMap<String, Secret> as Named<HeaderName, HeaderSecret> = "{}",
        /// Files with public keys (PEM, JWK or JWKS), one of which must have signed its card.
        card_keys: Vec<PathBuf> as List<PathFromFile> = "[]",
        /// What it is for, until its card is known.
        description: Option<String> as Opt<Text>,
        /// Words to find it by.
        tags: Vec<String> as List<Text> = "[]",
    }
}

impl Kind for OutsideAgent {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = OutsideAgentFields::decode(node, cx)?;
        let targets = match (fields.url, fields.targets) {
            (Some(url), None) => vec![url],
            (None, Some(targets)) => targets,
            (url, _) => {
                let message =
                    if url.is_some() { "has both `url` and `targets`" } else { "needs `url` or `targets`" };
                let span = cx.key_span(node);
                let help = "exactly one of them says where it is";
                cx.error_with_help(span, format!("{} {message}", cx.path()), help);
                return None;
            }
        };
        if fields.card_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            let span = node.get("card_path").map_or_else(|| cx.key_span(node), |path| path.span);
            cx.error(span, "expected a path that begins with `/`");
            return None;
        }
        Some(Self {
            targets,
            card_path: fields.card_path,
            headers: fields.headers,
            card_keys: fields.card_keys,
            description: fields.description,
            tags: fields.tags,
        })
    }

    fn render(value: &Self) -> Json {
        let one = value.targets.len() == 1;
        OutsideAgentFields::render(&OutsideAgentFields {
            url: value.targets.first().filter(|_| one).cloned(),
            targets: Some(value.targets.clone()).filter(|_| !one),
            card_path: value.card_path.clone(),
            headers: value.headers.clone(),
            card_keys: value.card_keys.clone(),
            description: value.description.clone(),
            tags: value.tags.clone(),
        })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = OutsideAgentFields::schema(generator);
        let either = serde_json::json!([{ "required": ["url"] }, { "required": ["targets"] }]);
        schema.insert("oneOf".to_owned(), either);
        schema
    }
}

impl Serialize for OutsideAgent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::render(self).serialize(serializer)
    }
}

all_defaults!(Directory);
