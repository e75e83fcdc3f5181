//! Names, and mappings whose keys are names.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json, json};

use crate::context::{Context, Mention, describe, shorten};
use crate::expand::is_variable;
use crate::schema::pattern;
use crate::section::Kind;
use crate::tree::{Node, Value};

/// What the keys of a mapping may look like.
pub(crate) trait NameRule {
    /// What such a name is called.
    const WHAT: &'static str;
    /// What it may look like, in words.
    const RULE: &'static str;
    /// The same as a regular expression, for the schema.
    const PATTERN: &'static str;
    /// The same as code.
    fn allows(name: &str) -> bool;
    /// The form in which names are compared.
    fn normal(name: &str) -> String {
        name.to_owned()
    }
}

/// `[a-z][a-z0-9-]*`, at most `longest` characters.
fn is_id(name: &str, longest: usize) -> bool {
    name.len() <= longest
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The id of an upstream. No underscore: the gateway joins it to tool names with one.
pub(crate) enum UpstreamName {}

impl NameRule for UpstreamName {
    const WHAT: &'static str = "upstream id";
    const RULE: &'static str = "a-z first, then a-z, 0-9 or -, at most 31 characters";
    const PATTERN: &'static str = "^[a-z][a-z0-9-]{0,30}$";

    fn allows(name: &str) -> bool {
        is_id(name, 31)
    }
}

/// The id of an agent: a DNS label.
pub(crate) enum AgentName {}

impl NameRule for AgentName {
    const WHAT: &'static str = "agent id";
    const RULE: &'static str = "a-z first, then a-z, 0-9 or -, at most 63 characters";
    const PATTERN: &'static str = "^[a-z][a-z0-9-]{0,62}$";

    fn allows(name: &str) -> bool {
        is_id(name, 63)
    }
}

/// The name of a variable that a process gets.
pub(crate) enum EnvName {}

impl NameRule for EnvName {
    const WHAT: &'static str = "variable name";
    const RULE: &'static str = "a letter or _ first, then letters, digits or _";
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";

    fn allows(name: &str) -> bool {
        is_variable(name)
    }
}

/// The name of an HTTP header, in lower case.
pub(crate) enum HeaderName {}

impl NameRule for HeaderName {
    const WHAT: &'static str = "header name";
    const RULE: &'static str = "letters, digits and -, as HTTP allows";
    const PATTERN: &'static str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

    fn allows(name: &str) -> bool {
        http::HeaderName::from_bytes(name.as_bytes()).is_ok()
    }

    fn normal(name: &str) -> String {
        name.to_ascii_lowercase()
    }
}

/// The URI of an extension: it stands in a header, with commas between several.
pub(crate) enum ExtensionUri {}

impl NameRule for ExtensionUri {
    const WHAT: &'static str = "extension URI";
    const RULE: &'static str = "printable ASCII without spaces and commas, like https://example.com/geo/v1";
    const PATTERN: &'static str = r"^[!-+\--~]+$";

    fn allows(name: &str) -> bool {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    }
}

/// A mapping from names that follow a rule to values of one kind.
pub(crate) struct Named<R, K>(PhantomData<(R, K)>);

impl<R: NameRule, K: Kind> Kind for Named<R, K> {
    type Value = BTreeMap<String, K::Value>;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let Value::Map(entries) = &node.value else {
            cx.expected(node, "a mapping");
            return None;
        };
        let mut values = BTreeMap::new();
        let mut good = true;
        for entry in entries {
            if !R::allows(&entry.key) {
                let article = if R::WHAT.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                let message = format!("`{}` cannot be {article} {}", shorten(&entry.key), R::WHAT);
                cx.error_with_help(entry.key_span, message, format!("allowed: {}", R::RULE));
                good = false;
            }
            let value = cx.inside(&entry.key, entry.key_span, |cx| {
                if entry.node.is_null() {
                    let message = format!("nothing is written for {}", cx.path());
                    cx.error(entry.key_span, message);
                    return None;
                }
                K::decode(&entry.node, cx)
            });
            good &= value.is_some();
            let Some(value) = value else { continue };
            if values.insert(R::normal(&entry.key), value).is_some() {
                cx.error(entry.key_span, format!("`{}` is written twice", shorten(&entry.key)));
                good = false;
            }
        }
        good.then_some(values)
    }

    fn render(value: &Self::Value) -> Json {
        let map: Map<_, _> = value.iter().map(|(name, value)| (name.clone(), K::render(value))).collect();
        Json::Object(map)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": R::PATTERN },
            "additionalProperties": K::schema(generator),
        })
    }
}

/// Text that is a name under `R`.
pub(crate) struct Id<R>(PhantomData<R>);

impl<R: NameRule> Kind for Id<R> {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        let scalar = cx.scalar(node, "a name")?;
        if !R::allows(&scalar.text) {
            let message = format!("{} cannot be used as a name here", describe(node));
            cx.error_with_help(node.span, message, format!("allowed: {}", R::RULE));
            return None;
        }
        Some(scalar.text)
    }

    fn render(value: &String) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(R::PATTERN)
    }
}

/// The id of an agent that must be in the file.
pub(crate) enum PeerRef {}

impl Kind for PeerRef {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        let name = cx.scalar(node, "the id of an agent")?.text;
        let path = cx.path();
        cx.facts.peers.push(Mention { path, name: name.clone(), span: node.span });
        Some(name)
    }

    fn render(value: &String) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(AgentName::PATTERN)
    }
}

/// `module:attribute`, the way Python names an object.
pub(crate) enum PythonEntry {}

impl PythonEntry {
    fn allows(text: &str) -> bool {
        let dotted = |name: &str| name.split('.').all(is_variable);
        text.split_once(':').is_some_and(|(module, attribute)| dotted(module) && dotted(attribute))
    }
}

impl Kind for PythonEntry {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        const WHAT: &str = "a Python object like sales:crew (module:attribute)";
        let scalar = cx.scalar(node, WHAT)?;
        if !Self::allows(&scalar.text) {
            cx.expected(node, WHAT);
            return None;
        }
        Some(scalar.text)
    }

    fn render(value: &String) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$")
    }
}
