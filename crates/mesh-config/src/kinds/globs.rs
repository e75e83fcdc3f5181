//! Names of tools with wildcards.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value as Json, json};

use super::NameRule;
use crate::context::Context;
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
