use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::kinds::{
    Count, EnvName, HeaderName, HeaderSecret, List, LiteralSecret, Named, NonEmpty, Opt, PathFromFile, Text,
    Timeout, ToolGlob, Url,
};
use crate::model::{Glob, Selection, Shadow, Split, ToolRule};
use crate::secret::Secret;
use crate::section::{Kind, section};
use crate::tree::Node;

/// A logical MCP server behind the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What kind of tools it has, for people and for search.
    pub category: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls at the same time.
    pub concurrency: usize,
    /// Calls that wait for their turn; more are refused.
    pub queue: usize,
    /// Which of its tools there are, and what is said about them.
    pub selection: Selection,
    /// A part of its calls goes to another version.
    pub split: Option<Split>,
    /// A part of its calls is made at another version as well.
    pub shadow: Option<Shadow>,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq)]
pub enum Endpoint {
    /// A process that the gateway starts and talks to over its standard input and output.
    Process {
        /// Program and arguments, never empty.
        command: Vec<String>,
        /// Variables added to its environment.
        env: BTreeMap<String, Secret>,
        /// Its working directory.
        cwd: PathBuf,
    },
    /// A server that speaks Streamable HTTP.
    Http {
        /// Its address.
        url: String,
        /// Headers of every request; names in lower case.
        headers: BTreeMap<String, Secret>,
    },
}

section! {
    /// An MCP server. Either command or url says where it is.
    pub(crate) struct UpstreamFields {
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
        /// What kind of tools it has.
        category: Option<String> as Opt<Text>,
        /// What it is for.
        description: Option<String> as Opt<Text>,
        /// Words to find it by.
        tags: Vec<String> as List<Text> = "[]",
        /// How long one call may take.
        timeout: Duration as Timeout = "30s",
        /// Calls at the same time.
        concurrency: usize as Count<usize, 1, 100_000> = "64",
        /// Calls that wait for their turn; more are refused.
        queue: usize as Count<usize, 0, 1_000_000> = "256",
        /// Only these of its tools exist, by name or pattern. All if left out.
        include: Vec<Glob> as List<Glob> = "[]",
        /// These of its tools do not exist, by name or pattern.
        exclude: Vec<Glob> as List<Glob> = "[]",
        /// What is said about its tools, by name or pattern; the nearest pattern counts.
        tools: BTreeMap<String, ToolRule> as Named<ToolGlob, ToolRule> = "{}",
        /// A part of the calls goes to another version of it.
        split: Option<Split> as Opt<Split>,
        /// A part of the calls is made at another version of it as well, and compared.
        shadow: Option<Shadow> as Opt<Shadow>,
    }
    planned { targets: "several endpoints of one upstream, balanced" }
}

impl Kind for Upstream {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = UpstreamFields::decode(node, cx);
        let endpoint = choose(node, cx)?;
        let other = other_version(node, cx);
        let fields = fields?;
        other?;
        let endpoint = match endpoint {
            Which::Process => {
                Endpoint::Process { command: fields.command?, env: fields.env, cwd: fields.cwd }
            }
            Which::Http => Endpoint::Http { url: fields.url?, headers: fields.headers },
        };
        Some(Self {
            endpoint,
            category: fields.category,
            description: fields.description,
            tags: fields.tags,
            timeout: fields.timeout,
            concurrency: fields.concurrency,
            queue: fields.queue,
            selection: Selection { include: fields.include, exclude: fields.exclude, rules: fields.tools },
            split: fields.split,
            shadow: fields.shadow,
        })
    }

    fn render(value: &Self) -> Json {
        let (command, env, cwd, url, headers) = match value.endpoint.clone() {
            Endpoint::Process { command, env, cwd } => (Some(command), env, cwd, None, BTreeMap::new()),
            Endpoint::Http { url, headers } => (None, BTreeMap::new(), PathBuf::new(), Some(url), headers),
        };
        let is_http = url.is_some();
        let mut rendered = UpstreamFields::render(&UpstreamFields {
            command,
            env,
            cwd,
            url,
            headers,
            category: value.category.clone(),
            description: value.description.clone(),
            tags: value.tags.clone(),
            timeout: value.timeout,
            concurrency: value.concurrency,
            queue: value.queue,
            include: value.selection.include.clone(),
            exclude: value.selection.exclude.clone(),
            tools: value.selection.rules.clone(),
            split: value.split.clone(),
            shadow: value.shadow.clone(),
        });
        if let Some(map) = rendered.as_object_mut() {
            let foreign = if is_http { PROCESS_ONLY } else { HTTP_ONLY };
            map.retain(|name, _| !foreign.contains(&name.as_str()));
        }
        rendered
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = UpstreamFields::schema(generator);
        schema.insert("oneOf".to_owned(), json!([{ "required": ["command"] }, { "required": ["url"] }]));
        schema
    }
}

/// Fields that mean something only next to `command`.
const PROCESS_ONLY: &[&str] = &["env", "cwd"];
/// Fields that mean something only next to `url`.
const HTTP_ONLY: &[&str] = &["headers"];

enum Which {
    Process,
    Http,
}

/// Finds out which endpoint is meant and reports what does not go with it.
fn choose(node: &Node, cx: &mut Context<'_>) -> Option<Which> {
    let written = |name: &str| node.get(name).is_some_and(|value| !value.is_null());
    let (which, name, foreign) = match (written("command"), written("url")) {
        (true, false) => (Which::Process, "command", HTTP_ONLY),
        (false, true) => (Which::Http, "url", PROCESS_ONLY),
        // `targets` was reported as not supported; it is not missing.
        (false, false) if written("targets") || node.entries().is_empty() && !is_map(node) => return None,
        (both, _) => {
            let message = if both { "has both `command` and `url`" } else { "needs `command` or `url`" };
            let span = cx.key_span(node);
            cx.error_with_help(
                span,
                format!("{} {message}", cx.path()),
                "exactly one of them says where it is",
            );
            return None;
        }
    };
    let mut good = true;
    for entry in node.entries().iter().filter(|entry| foreign.contains(&entry.key.as_str())) {
        cx.error(entry.key_span, format!("`{}` has no meaning next to `{name}` in {}", entry.key, cx.path()));
        good = false;
    }
    good.then_some(which)
}

/// An upstream is not another version of itself.
fn other_version(node: &Node, cx: &mut Context<'_>) -> Option<()> {
    let own = cx.key_name().to_owned();
    let mut good = Some(());
    for field in ["split", "shadow"] {
        let Some(to) = node.get(field).and_then(|field| field.get("to")) else { continue };
        if cx.peek(to).is_some_and(|to| to == own) {
            let message = format!("{}.{field}.to names the upstream itself", cx.path());
            cx.error(to.span, message);
            good = None;
        }
    }
    good
}

const fn is_map(node: &Node) -> bool {
    matches!(node.value, crate::tree::Value::Map(_))
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::render(self).serialize(serializer)
    }
}
