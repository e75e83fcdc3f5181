use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value as Json, json};

use super::upstream::{COMMAND, URL, Which, Written, choose};
use crate::context::Context;
use crate::kinds::{
    Count, EnvName, HeaderName, HeaderSecret, LiteralSecret, Named, NonEmpty, Opt, PathFromFile, Text, Url,
};
use crate::model::Endpoint;
use crate::secret::Secret;
use crate::section::{Kind, section};
use crate::tree::Node;

/// One of several endpoints of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Where it is; never several.
    pub endpoint: Endpoint,
    /// Its share of the calls, against the others.
    pub weight: u32,
    /// Where it stands. Targets in the gateway's own zone are preferred.
    pub zone: Option<String>,
}

impl Target {
    /// One like all others.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, weight: 1, zone: None }
    }
}

section! {
    /// One of several servers. Either command or url says where it is.
    pub(crate) struct TargetFields {
        /// Program and arguments of a server that is started here.
        command: Option<Vec<String>> as Opt<NonEmpty<Text>>,
        /// Variables added to its environment.
        env: BTreeMap<String, Secret> as Named<EnvName, LiteralSecret> = "{}",
        /// Its working directory, from the folder of this file.
        cwd: PathBuf as PathFromFile = ".",
        /// Address of a server that speaks Streamable HTTP.
        url: Option<String> as Opt<Url>,
        /// Headers of every request to it. Secrets only by reference.
        headers: BTreeMap<String, Secret> as Named<HeaderName, HeaderSecret> = "{}",
        /// Its share of the calls, against the others.
        weight: u32 as Count<u32, 1, 1000> = "1",
        /// Where it stands. Targets in the zone of the gateway (gateway.zone) are preferred.
        zone: Option<String> as Opt<Text>,
    }
}

impl Kind for Target {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = TargetFields::decode(node, cx);
        let which = choose(node, cx, &[COMMAND, URL])?;
        let fields = fields?;
        let endpoint = match which {
            Which::Process => {
                Endpoint::Process { command: fields.command?, env: fields.env, cwd: fields.cwd }
            }
            Which::Http | Which::Several => Endpoint::Http { url: fields.url?, headers: fields.headers },
        };
        Some(Self { endpoint, weight: fields.weight, zone: fields.zone })
    }

    fn render(value: &Self) -> Json {
        let written = Written::of(&value.endpoint);
        let foreign = written.foreign();
        let mut rendered = TargetFields::render(&TargetFields {
            command: written.command,
            env: written.env,
            cwd: written.cwd,
            url: written.url,
            headers: written.headers,
            weight: value.weight,
            zone: value.zone.clone(),
        });
        if let Some(map) = rendered.as_object_mut() {
            map.retain(|name, _| !foreign.contains(&name.as_str()));
        }
        rendered
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = TargetFields::schema(generator);
        schema.insert("oneOf".to_owned(), json!([{ "required": ["command"] }, { "required": ["url"] }]));
        schema
    }
}
