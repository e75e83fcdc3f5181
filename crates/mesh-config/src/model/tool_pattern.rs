use std::fmt;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::context::{Context, Mention};
use crate::schema::pattern;
use crate::section::Kind;
use crate::tree::Node;

/// Longest tool name that MCP allows.
const LONGEST_TOOL: usize = 128;

/// Tools that an agent may call: one, or all of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPattern {
    /// Id of the upstream.
    pub upstream: String,
    /// Name of the tool at the upstream; `None` stands for all of them.
    pub tool: Option<String>,
}

impl ToolPattern {
    /// Whether the pattern covers `tool` of `upstream`.
    #[must_use]
    pub fn matches(&self, upstream: &str, tool: &str) -> bool {
        self.upstream == upstream && self.tool.as_deref().is_none_or(|name| name == tool)
    }
}

impl fmt::Display for ToolPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.tool.as_deref().unwrap_or("*"))
    }
}

impl Serialize for ToolPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_tool(name: &str) -> bool {
    (1..=LONGEST_TOOL).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

impl Kind for ToolPattern {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const WHAT: &str = "a tool like crm/get_customer or crm/*";
        let scalar = cx.scalar(node, WHAT)?;
        let parts = scalar.text.split_once('/').filter(|(upstream, tool)| {
            !upstream.is_empty() && !upstream.contains('*') && (*tool == "*" || is_tool(tool))
        });
        let Some((upstream, tool)) = parts else {
            cx.expected(node, WHAT);
            return None;
        };
        let path = cx.path();
        cx.facts.upstreams.push(Mention { path, name: upstream.to_owned(), span: node.span });
        Some(Self { upstream: upstream.to_owned(), tool: (tool != "*").then(|| tool.to_owned()) })
    }

    fn render(value: &Self) -> Json {
        json!(value.to_string())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(r"^[a-z][a-z0-9-]{0,30}/(\*|[A-Za-z0-9_./-]{1,128})$")
    }
}
