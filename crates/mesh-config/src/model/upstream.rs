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
use crate::model::{Breaker, Cache, Glob, Health, Retries, Selection, Shadow, Split, Target, ToolRule};
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
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer that has begun may make no progress.
    pub idle_timeout: Duration,
    /// When one of several targets is left out.
    pub health: Health,
    /// When calls are refused because too many failed.
    pub breaker: Breaker,
    /// When a call is made again.
    pub retries: Retries,
    /// Answers that are kept.
    pub cache: Cache,
}

impl Upstream {
    /// One with the defaults of the mesh file.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let defaults = crate::section::decode_default::<UpstreamFields>("{}");
        Self {
            endpoint,
            category: None,
            description: None,
            tags: Vec::new(),
            timeout: defaults.timeout,
            concurrency: defaults.concurrency,
            queue: defaults.queue,
            connect_timeout: defaults.connect_timeout,
            idle_timeout: defaults.idle_timeout,
            health: defaults.health,
            breaker: defaults.breaker,
            retries: defaults.retries,
            cache: defaults.cache,
            selection: Selection::default(),
            split: None,
            shadow: None,
        }
    }
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
    /// Several that are equally good: at least one, at most 64, none of which is several again.
    Several(Vec<Target>),
}

section! {
    /// An MCP server. One of command, url and targets says where it is.
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
        /// Several servers that are equally good; calls are balanced over them.
        targets: Option<Vec<Target>> as Opt<NonEmpty<Target>>,
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
        /// How long connecting may take.
        connect_timeout: Duration as Timeout = "5s",
        /// How long an answer that has begun may make no progress.
        idle_timeout: Duration as Timeout = "60s",
        /// When one of several targets is left out, and how it comes back.
        health: Health as Health = "{}",
        /// When calls are refused because too many failed.
        breaker: Breaker as Breaker = "{}",
        /// When a call is made again.
        retries: Retries as Retries = "{}",
        /// Answers that are kept.
        cache: Cache as Cache = "{}",
    }
}

impl Kind for Upstream {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = UpstreamFields::decode(node, cx);
        let endpoint = choose(node, cx, &[COMMAND, URL, TARGETS])?;
        let other = other_version(node, cx);
        let fields = fields?;
        other?;
        let endpoint = match endpoint {
            Which::Process => {
                Endpoint::Process { command: fields.command?, env: fields.env, cwd: fields.cwd }
            }
            Which::Http => Endpoint::Http { url: fields.url?, headers: fields.headers },
            Which::Several => Endpoint::Several(at_most(fields.targets?, node, cx)?),
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
            connect_timeout: fields.connect_timeout,
            idle_timeout: fields.idle_timeout,
            health: fields.health,
            breaker: fields.breaker,
            retries: fields.retries,
            cache: fields.cache,
        })
    }

    fn render(value: &Self) -> Json {
        let written = Written::of(&value.endpoint);
        let foreign = written.foreign();
        let mut rendered = UpstreamFields::render(&UpstreamFields {
            command: written.command,
            env: written.env,
            cwd: written.cwd,
            url: written.url,
            headers: written.headers,
            targets: written.targets,
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
            connect_timeout: value.connect_timeout,
            idle_timeout: value.idle_timeout,
            health: value.health.clone(),
            breaker: value.breaker.clone(),
            retries: value.retries.clone(),
            cache: value.cache.clone(),
        });
        if let Some(map) = rendered.as_object_mut() {
            map.retain(|name, _| !foreign.contains(&name.as_str()));
        }
        rendered
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = UpstreamFields::schema(generator);
        schema.insert(
            "oneOf".to_owned(),
            json!([{ "required": ["command"] }, { "required": ["url"] }, { "required": ["targets"] }]),
        );
        schema
    }
}

/// Most targets of one upstream.
const MOST_TARGETS: usize = 64;

fn at_most(targets: Vec<Target>, node: &Node, cx: &mut Context<'_>) -> Option<Vec<Target>> {
    if targets.len() <= MOST_TARGETS {
        return Some(targets);
    }
    let span = node.get("targets").map_or_else(|| cx.key_span(node), |targets| targets.span);
    cx.error(span, format!("{} has {} targets, and {MOST_TARGETS} are the most", cx.path(), targets.len()));
    None
}

/// An endpoint as its fields are written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) command: Option<Vec<String>>,
    pub(super) env: BTreeMap<String, Secret>,
    pub(super) cwd: PathBuf,
    pub(super) url: Option<String>,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) targets: Option<Vec<Target>>,
}

impl Written {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        match endpoint.clone() {
            Endpoint::Process { command, env, cwd } => {
                Self { command: Some(command), env, cwd, ..Self::default() }
            }
            Endpoint::Http { url, headers } => Self { url: Some(url), headers, ..Self::default() },
            Endpoint::Several(targets) => Self { targets: Some(targets), ..Self::default() },
        }
    }

    /// Fields that are not written.
    pub(super) fn foreign(&self) -> &'static [&'static str] {
        match (&self.command, &self.url) {
            (Some(_), _) => COMMAND.foreign,
            (None, Some(_)) => URL.foreign,
            (None, None) => TARGETS.foreign,
        }
    }
}

/// A way to say where an endpoint is.
#[derive(Clone, Copy)]
pub(super) struct Way {
    which: Which,
    name: &'static str,
    /// Fields that mean nothing next to it.
    foreign: &'static [&'static str],
}

pub(super) const COMMAND: Way = Way { which: Which::Process, name: "command", foreign: &["headers"] };
pub(super) const URL: Way = Way { which: Which::Http, name: "url", foreign: &["env", "cwd"] };
const TARGETS: Way = Way { which: Which::Several, name: "targets", foreign: &["env", "cwd", "headers"] };

#[derive(Clone, Copy)]
pub(super) enum Which {
    Process,
    Http,
    Several,
}

/// Finds out which endpoint is meant and reports what does not go with it.
pub(super) fn choose(node: &Node, cx: &mut Context<'_>, ways: &[Way]) -> Option<Which> {
    let written = |way: &&Way| node.get(way.name).is_some_and(|value| !value.is_null());
    let found: Vec<_> = ways.iter().filter(written).collect();
    let [way] = found[..] else {
        if found.is_empty() && node.entries().is_empty() && !is_map(node) {
            return None;
        }
        let quoted = |ways: &[&Way], word: &str| {
            let names: Vec<_> = ways.iter().map(|way| format!("`{}`", way.name)).collect();
            match names.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
                _ => names.join(""),
            }
        };
        let message = match found[..] {
            [] => format!("needs {}", quoted(&ways.iter().collect::<Vec<_>>(), "or")),
            [_, _] => format!("has both {}", quoted(&found, "and")),
            _ => format!("has {}", quoted(&found, "and")),
        };
        let span = cx.key_span(node);
        let help = "exactly one of them says where it is";
        cx.error_with_help(span, format!("{} {message}", cx.path()), help);
        return None;
    };
    let mut good = true;
    for entry in node.entries().iter().filter(|entry| way.foreign.contains(&entry.key.as_str())) {
        cx.error(
            entry.key_span,
            format!("`{}` has no meaning next to `{}` in {}", entry.key, way.name, cx.path()),
        );
        good = false;
    }
    good.then_some(way.which)
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
