use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value as Json};

use crate::context::Context;
use crate::kinds::{
    ExtensionUri, Flag, Id, JsonObject, List, NonEmpty, Opt, OptSecret, PathFromFile, Text, Url,
};
use crate::secret::Secret;
use crate::section::{Kind, all_defaults, section};
use crate::tree::Node;

section! {
    /// What an agent tells others about itself.
    pub struct Card {
        /// Name shown to people. The agent's id if left out.
        name: Option<String> as Opt<Text>,
        /// What the agent is for. What the worker says if left out.
        description: String as Text = "''",
        /// Version of the agent. What the worker says, or 0.1.0, if left out.
        version: Option<String> as Opt<Text>,
        /// Who offers the agent.
        provider: Option<Provider> as Opt<Provider>,
        /// Where people read more.
        documentation_url: Option<String> as Opt<Url>,
        /// Picture to show for the agent.
        icon_url: Option<String> as Opt<Url>,
        /// What the agent can do. What the worker says if empty.
        skills: Vec<Skill> as List<Skill> = "[]",
        /// Media types that it takes. What the worker says, or text/plain, if left out.
        input_modes: Option<Vec<String>> as Opt<NonEmpty<Text>>,
        /// Media types that it gives. What the worker says, or text/plain, if left out.
        output_modes: Option<Vec<String>> as Opt<NonEmpty<Text>>,
        /// Extensions of A2A that the agent or its worker knows, besides those of the host.
        extensions: Vec<Extension> as List<Extension> = "[]",
        /// What callers who have proved who they are get to see in addition: the extended card.
        extended: Option<ExtendedCard> as Opt<ExtendedCard>,
        /// Signs the card. No signature if the key is empty.
        signing: Option<Signing> as OptSigning,
    }
}

section! {
    /// An extension of A2A.
    pub struct Extension {
        /// Its URI.
        uri: String as Id<ExtensionUri>,
        /// How the agent uses it.
        description: String as Text = "''",
        /// Whether clients must ask for it. Requests of those that do not are refused.
        required: bool as Flag = "false",
        /// What the extension wants to be said about it.
        params: Option<Map<String, Json>> as Opt<JsonObject>,
    }
}

section! {
    /// What is added to the card for callers who have proved who they are.
    pub struct ExtendedCard {
        /// Instead of the description of the card.
        description: Option<String> as Opt<Text>,
        /// Skills in addition to those of the card; one with the same id takes its place.
        skills: Vec<Skill> as List<Skill> = "[]",
    }
}

section! {
    /// How a card is signed. Either key or key_file says with what.
    pub struct Signing {
        /// Private key in PEM, by reference.
        key: Option<Secret> as OptSecret,
        /// File with the private key in PEM.
        key_file: Option<PathBuf> as Opt<PathFromFile>,
        /// Name of the key. Its thumbprint if left out.
        kid: Option<String> as Opt<Text>,
        /// Where the public key is found. The agent's own /.well-known/jwks.json if left out.
        jku: Option<String> as Opt<Url>,
    }
}

/// How a card is signed, if it is.
pub(crate) enum OptSigning {}

impl Kind for OptSigning {
    type Value = Option<Signing>;

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let signing = Signing::decode(node, cx)?;
        let written = |name: &str| node.get(name).is_some_and(|value| !value.is_null());
        let message = match (written("key"), written("key_file")) {
            (true, true) => "has both `key` and `key_file`",
            (false, false) => "needs `key` or `key_file`",
            _ => return Some(Some(signing).filter(|it| it.key.is_some() || it.key_file.is_some())),
        };
        let span = cx.key_span(node);
        cx.error_with_help(
            span,
            format!("{} {message}", cx.path()),
            "exactly one of them says with what the card is signed",
        );
        None
    }

    fn render(value: &Self::Value) -> Json {
        value.as_ref().map_or(Json::Null, Signing::render)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Signing::schema(generator)
    }
}

section! {
    /// Who offers an agent.
    pub struct Provider {
        /// Name of the organization.
        organization: String as Text,
        /// Its web site.
        url: String as Url,
    }
}

section! {
    /// One thing that an agent can do.
    pub struct Skill {
        /// Id of the skill.
        id: String as Text,
        /// Name shown to people. The id if left out.
        name: Option<String> as Opt<Text>,
        /// What it does.
        description: String as Text = "''",
        /// Words to find it by.
        tags: Vec<String> as List<Text> = "[]",
        /// Requests that it is made for.
        examples: Vec<String> as List<Text> = "[]",
        /// Media types that it takes; those of the card if empty.
        input_modes: Vec<String> as List<Text> = "[]",
        /// Media types that it gives; those of the card if empty.
        output_modes: Vec<String> as List<Text> = "[]",
    }
}

all_defaults!(Card);
