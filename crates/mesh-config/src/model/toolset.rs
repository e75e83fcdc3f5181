use std::collections::BTreeMap;
use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::Glob;
use crate::context::{Context, Mention};
use crate::kinds::{AnyJson, ArgumentName, Flag, Named, NonEmpty, Opt, Text};
use crate::schema::pattern;
use crate::section::{Kind, section};
use crate::tree::{Node, Value};

section! {
    /// Chosen tools of several upstreams, served as one MCP server at /mcp/{toolset}.
    pub struct Toolset {
        /// What it is for.
        description: Option<String> as Opt<Text>,
        /// Its tools: upstream/tool, upstream/*, or a tool with another name, text or arguments.
        tools: Vec<Choice> as NonEmpty<Choice>,
    }
}

/// Tools of one upstream: one by its name, or those that a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRef {
    /// Id of the upstream.
    pub upstream: String,
    /// Which of its tools.
    pub tool: Glob,
}

/// Tools that a toolset has.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which.
    pub tool: ToolRef,
    /// What it is called here; `{upstream}_{tool}` if nothing is said.
    pub name: Option<String>,
    /// Its title here.
    pub title: Option<String>,
    /// Its description here.
    pub description: Option<String>,
    /// What becomes of its arguments.
    pub arguments: BTreeMap<String, Argument>,
}

/// What becomes of one argument of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Where its value comes from.
    pub fill: Fill,
    /// Whether the tool's schema shows it.
    pub shown: bool,
    /// Its description here.
    pub description: Option<String>,
}

/// Where the value of an argument comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// From the caller.
    Caller,
    /// From the caller; this if it says nothing.
    Default(Json),
    /// It is always this, whatever the caller says.
    Fixed(Json),
    /// It is never sent.
    Never,
}

section! {
    /// What becomes of an argument.
    pub(crate) struct ArgumentFields {
        /// Its value, whatever the caller says. Not shown unless hide is false.
        value: Option<Json> as Opt<AnyJson>,
        /// Its value if the caller says nothing.
        default: Option<Json> as Opt<AnyJson>,
        /// Whether the tool's schema leaves it out. Without a value it is then never sent.
        hide: Option<bool> as Opt<Flag>,
        /// Its description.
        description: Option<String> as Opt<Text>,
    }
}

section! {
    /// One tool with another name, text or arguments.
    pub(crate) struct ChoiceFields {
        /// Which: upstream/tool.
        tool: ToolRef as ToolRef,
        /// What it is called here.
        name: Option<String> as Opt<PlainName>,
        /// Its title here.
        title: Option<String> as Opt<Text>,
        /// Its description here.
        description: Option<String> as Opt<Text>,
        /// What becomes of its arguments, by name.
        arguments: BTreeMap<String, Argument> as Named<ArgumentName, Argument> = "{}",
    }
}

/// A name that every client takes for a tool.
pub(crate) enum PlainName {}

impl Kind for PlainName {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        const WHAT: &str = "a name of 1 to 64 letters, digits, _ or -";
        let scalar = cx.scalar(node, WHAT)?;
        let good = (1..=64).contains(&scalar.text.len())
            && scalar.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !good {
            cx.expected(node, WHAT);
        }
        good.then_some(scalar.text)
    }

    fn render(value: &String) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern("^[A-Za-z0-9_-]{1,64}$")
    }
}

impl fmt::Display for ToolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.tool)
    }
}

impl Kind for ToolRef {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const WHAT: &str = "a tool like crm/get_customer or crm/*";
        let scalar = cx.scalar(node, WHAT)?;
        let parts = scalar
            .text
            .split_once('/')
            .filter(|(upstream, tool)| !upstream.is_empty() && !upstream.contains('*') && Glob::allows(tool));
        let Some((upstream, tool)) = parts else {
            cx.expected(node, WHAT);
            return None;
        };
        let path = cx.path();
        cx.facts.upstreams.push(Mention { path, name: upstream.to_owned(), span: node.span });
        Some(Self { upstream: upstream.to_owned(), tool: Glob::new(tool) })
    }

    fn render(value: &Self) -> Json {
        json!(value.to_string().replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(r"^[a-z][a-z0-9-]{0,30}/[^\s]{1,128}$")
    }
}

impl Kind for Choice {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            let tool = ToolRef::decode(node, cx)?;
            return Some(Self {
                tool,
                name: None,
                title: None,
                description: None,
                arguments: BTreeMap::new(),
            });
        }
        let ChoiceFields { tool, name, title, description, arguments } = ChoiceFields::decode(node, cx)?;
        let changed = node.entries().iter().find(|entry| entry.key != "tool" && !entry.node.is_null());
        if let Some(entry) = changed.filter(|_| !tool.tool.is_exact()) {
            let message =
                format!("`{}` can be said of one tool only, and `{tool}` stands for several", entry.key);
            cx.error(entry.key_span, message);
            return None;
        }
        Some(Self { tool, name, title, description, arguments })
    }

    fn render(value: &Self) -> Json {
        let Self { tool, name, title, description, arguments } = value.clone();
        if name.is_none() && title.is_none() && description.is_none() && arguments.is_empty() {
            return ToolRef::render(&tool);
        }
        ChoiceFields::render(&ChoiceFields { tool, name, title, description, arguments })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (tool, fields) = (ToolRef::schema(generator), ChoiceFields::schema(generator));
        json_schema!({ "anyOf": [tool, fields] })
    }
}

impl Kind for Argument {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = ArgumentFields::decode(node, cx)?;
        let hide = fields.hide;
        let fill = match (fields.value, fields.default, hide) {
            (Some(_), Some(_), _) => Err("has both `value` and `default`"),
            (None, Some(_), Some(true)) => {
                Err("hides what has a `default`: a hidden argument needs a `value`")
            }
            (None, None, None | Some(false)) if fields.description.is_none() => {
                Err("says nothing: it needs `value`, `default`, `hide` or `description`")
            }
            (Some(value), None, _) => Ok(Fill::Fixed(value)),
            (None, Some(value), _) => Ok(Fill::Default(value)),
            (None, None, Some(true)) => Ok(Fill::Never),
            (None, None, _) => Ok(Fill::Caller),
        };
        match fill {
            Err(why) => {
                let message = format!("{} {why}", cx.path());
                cx.error(cx.key_span(node), message);
                None
            }
            Ok(fill) => {
                let shown = !hide.unwrap_or(matches!(fill, Fill::Fixed(_)));
                Some(Self { fill, shown, description: fields.description })
            }
        }
    }

    fn render(value: &Self) -> Json {
        let (fixed, default) = match &value.fill {
            Fill::Fixed(value) => (Some(value.clone()), None),
            Fill::Default(value) => (None, Some(value.clone())),
            Fill::Caller | Fill::Never => (None, None),
        };
        let hide = (value.shown == matches!(value.fill, Fill::Fixed(_))).then_some(!value.shown);
        ArgumentFields::render(&ArgumentFields {
            value: fixed,
            default,
            hide,
            description: value.description.clone(),
        })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        ArgumentFields::schema(generator)
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::render(self).serialize(serializer)
    }
}
