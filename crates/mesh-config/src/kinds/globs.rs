//! Names of tools with wildcards, mentions of upstreams, and values of any kind.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use super::any::{escaped, json_of};
use super::{NameRule, UpstreamName};
use crate::context::{Context, Mention};
use crate::model::Glob;
use crate::schema::pattern;
use crate::section::Kind;
use crate::tree::Node;

/// The key of a mapping that stands for tools.
pub(crate) enum ToolGlob {}

impl NameRule for ToolGlob {
    const WHAT: &'static str = "tool pattern";
    const RULE: &'static str = "the name of a tool, with * for any characters, at most 128 characters";
    const PATTERN: &'static str = r"^[^\s]{1,128}$";

    fn allows(name: &str) -> bool {
        Glob::allows(name)
    }
}

/// The key of a mapping that stands for an argument of a tool.
pub(crate) enum ArgumentName {}

impl NameRule for ArgumentName {
    const WHAT: &'static str = "argument name";
    const RULE: &'static str = "1 to 128 characters";
    const PATTERN: &'static str = r"^.{1,128}$";

    fn allows(name: &str) -> bool {
        (1..=128).contains(&name.chars().count())
    }
}

impl Kind for Glob {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const WHAT: &str = "the name of a tool, like get_customer or get_*";
        let scalar = cx.scalar(node, WHAT)?;
        if !Self::allows(&scalar.text) {
            cx.expected(node, WHAT);
            return None;
        }
        Some(Self::new(scalar.text))
    }

    fn render(value: &Self) -> Json {
        json!(value.as_str().replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(ToolGlob::PATTERN)
    }
}

/// The id of an upstream that must be in the file.
pub(crate) enum UpstreamRef {}

impl Kind for UpstreamRef {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        let name = cx.scalar(node, "the id of an upstream")?.text;
        let path = cx.path();
        cx.facts.upstreams.push(Mention { path, name: name.clone(), span: node.span });
        Some(name)
    }

    fn render(value: &String) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(UpstreamName::PATTERN)
    }
}

/// A value that is passed on as JSON. Words without quotes are what YAML takes them for, as far as JSON has it.
pub(crate) enum AnyJson {}

impl Kind for AnyJson {
    type Value = Json;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Json> {
        json_of(node, cx)
    }

    fn render(value: &Json) -> Json {
        escaped(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}
