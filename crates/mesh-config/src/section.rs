//! The `section!` macro: a struct of the mesh file, written once.
//!
//! From one list of fields come the public struct, its decoder, the names that typing errors are compared
//! with, its rendering, and its part of the JSON schema. Defaults are YAML text, decoded like the file's own.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value as Json};

use crate::context::{Context, shorten};
use crate::source::Span;
use crate::tree::{Node, Value};

/// How the values of a field are read, written and described.
pub(crate) trait Kind {
    /// What the rest of the mesh gets to see.
    type Value;

    /// The value of a field that is neither written nor has a default; `None` if it must be written.
    fn absent() -> Option<Self::Value> {
        None
    }

    /// Reads a value that is not null. On `None`, the reason is noted in `cx`.
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value>;

    /// Writes a value so that decoding it gives the same; null leaves the field out.
    fn render(value: &Self::Value) -> Json;

    /// Describes what may be written.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// A field of a section.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// YAML text.
    pub(crate) default: Option<&'static str>,
}

/// A mapping with a fixed set of fields.
pub(crate) trait Section {
    /// Its fields, in the order in which they are explained.
    const FIELDS: &'static [Field];
    /// Names that are reserved for what does not exist yet, each with what it will be.
    const PLANNED: &'static [(&'static str, &'static str)];
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident : $ty:ty as $kind:ty $(= $default:literal)? ),* $(,)?
        }
        $( planned { $( $planned:ident : $what:literal ),* $(,)? } )?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ $vis $field: $ty, )*
        }

        impl $crate::section::Section for $name {
            const FIELDS: &'static [$crate::section::Field] = &[
                $( $crate::section::Field {
                    name: stringify!($field),
                    doc: concat!($($doc),+),
                    default: $crate::section::default_text!($($default)?),
                }, )*
            ];
            const PLANNED: &'static [(&'static str, &'static str)] =
                &[ $( $( (stringify!($planned), $what) ),* )? ];
        }

        impl $crate::section::Kind for $name {
            type Value = Self;

            fn decode(node: &$crate::tree::Node, cx: &mut $crate::context::Context<'_>) -> Option<Self> {
                let known = $crate::section::check_names::<Self>(node, cx)?;
                $( let $field = $crate::section::decode_field::<$kind>(
                    node, stringify!($field), $crate::section::default_text!($($default)?), cx,
                ); )*
                known.then_some(())?;
                Some(Self { $( $field: $field?, )* })
            }

            fn render(value: &Self) -> ::serde_json::Value {
                let mut map = ::serde_json::Map::new();
                $( $crate::section::put(
                    &mut map, stringify!($field), <$kind as $crate::section::Kind>::render(&value.$field),
                ); )*
                ::serde_json::Value::Object(map)
            }

            fn schema(generator: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }

        impl ::schemars::JsonSchema for $name {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Fields").into()
            }

            fn json_schema(generator: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                let fields = vec![
                    $( (
                        <$kind as $crate::section::Kind>::schema(generator),
                        <$kind as $crate::section::Kind>::absent().is_some(),
                    ), )*
                ];
                $crate::schema::section::<Self>(concat!($($about),+), fields)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ::serde::Serialize::serialize(&<Self as $crate::section::Kind>::render(self), serializer)
            }
        }
    };
}

/// Gives sections whose fields all have defaults a `Default` that says the same.
macro_rules! all_defaults {
    ($($name:ident),+ $(,)?) => { $(
        impl Default for $name {
            /// What an empty file says.
            fn default() -> Self {
                $crate::section::decode_default::<Self>("{}")
            }
        }
    )+ };
}

macro_rules! default_text {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

pub(crate) use {all_defaults, default_text, section};

/// Reports names that `node` must not have. `None` if it is no mapping, `false` if there were such names.
pub(crate) fn check_names<S: Section>(node: &Node, cx: &mut Context<'_>) -> Option<bool> {
    let Value::Map(entries) = &node.value else {
        cx.expected(node, "a mapping");
        return None;
    };
    let before = cx.findings.len() + cx.omitted;
    for entry in entries {
        if S::FIELDS.iter().any(|field| field.name == entry.key) {
            continue;
        }
        let name = shorten(&entry.key);
        if let Some((_, what)) = S::PLANNED.iter().find(|(planned, _)| *planned == entry.key) {
            let message = format!("`{name}` in {} is not supported yet", cx.place());
            cx.error_with_help(entry.key_span, message, format!("planned: {what}"));
        } else if entry.key == "<<" {
            cx.error(entry.key_span, "merge keys (`<<`) are not supported, use an alias for a whole value");
        } else {
            let message = format!("unknown field `{name}` in {}", cx.place());
            cx.unknown(entry.key_span, message, &entry.key, S::FIELDS.iter().map(|field| field.name));
        }
    }
    Some(cx.findings.len() + cx.omitted == before)
}

/// Decodes the field `name` of `node`, or its default if it is not written.
pub(crate) fn decode_field<K: Kind>(
    node: &Node,
    name: &'static str,
    default: Option<&'static str>,
    cx: &mut Context<'_>,
) -> Option<K::Value> {
    let entry = node.entries().iter().find(|entry| entry.key == name);
    if let Some(entry) = entry.filter(|entry| !entry.node.is_null()) {
        return cx.inside(name, entry.key_span, |cx| K::decode(&entry.node, cx));
    }
    if let Some(text) = default {
        return cx.inside(name, Span::NONE, |cx| K::decode(&default_node(text), cx));
    }
    if let Some(value) = K::absent() {
        return Some(value);
    }
    let span = entry.map_or_else(|| cx.key_span(node), |entry| entry.key_span);
    cx.error(span, format!("`{name}` is missing in {}", cx.place()));
    None
}

/// The tree of a default.
pub(crate) fn default_node(text: &str) -> Node {
    let (node, _) = crate::tree::read(text);
    node.unwrap_or(Node { span: Span::NONE, value: Value::Null }).unplaced()
}

/// Decodes what is known to be right: the text of a default.
///
/// # Panics
/// When it is not right after all; a test decodes every default.
pub(crate) fn decode_default<K: Kind>(text: &str) -> K::Value {
    let source = crate::source::Source::new("default".to_owned(), text);
    let mut cx = Context::new(&source, std::path::Path::new(""), &|_| None);
    let value = K::decode(&default_node(text), &mut cx);
    value.unwrap_or_else(|| unreachable!("the default `{text}` does not decode: {:?}", cx.findings))
}

/// Adds a rendered value unless there is none.
pub(crate) fn put(map: &mut Map<String, Json>, name: &str, value: Json) {
    if !value.is_null() {
        map.insert(name.to_owned(), value);
    }
}
