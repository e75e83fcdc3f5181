//! Text, whole numbers, choices and secrets.

use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use crate::context::{Context, describe};
use crate::schema::{or_reference, pattern};
use crate::secret::{Secret, names_secret};
use crate::section::Kind;
use crate::tree::{Node, Value};

/// Any text. Numbers and the like are taken as they are written: `version: 1.10` is the text `1.10`.
pub(crate) enum Text {}

impl Kind for Text {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        cx.scalar(node, "text").map(|scalar| scalar.text)
    }

    fn render(value: &String) -> Json {
        // A rendered file is a file: what is text now must not become a reference.
        json!(value.replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A whole number from `MIN` to `MAX`.
pub(crate) struct Count<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T, const MIN: u64, const MAX: u64> Kind for Count<T, MIN, MAX>
where
    T: TryFrom<u64> + Copy + serde::Serialize,
{
    type Value = T;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<T> {
        const WHAT: &str = "a whole number";
        let scalar = cx.scalar(node, WHAT)?;
        // In `{ … }` a reference must be quoted, so quotes mean nothing once there was one.
        let quoted = matches!(&node.value, Value::Scalar { plain: false, .. }) && !scalar.referenced;
        let Some(number) = scalar.text.parse::<u64>().ok().filter(|_| !quoted) else {
            cx.expected(node, WHAT);
            return None;
        };
        let value =
            (MIN..=MAX).contains(&number).then_some(number).and_then(|number| T::try_from(number).ok());
        if value.is_none() {
            cx.error(node.span, format!("expected a number from {MIN} to {MAX}, found `{number}`"));
        }
        value
    }

    fn render(value: &T) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        or_reference(&json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }))
    }
}

/// `choice!`: one of a few words, written once.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal ),+ $(,)? }
        $( planned: $planned:literal )?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that is written in the file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::section::Kind for $name {
            type Value = Self;

            fn decode(node: &$crate::tree::Node, cx: &mut $crate::context::Context<'_>) -> Option<Self> {
                let scalar = cx.scalar(node, &format!("one of {}", Self::WORDS.join(", ")))?;
                match &*scalar.text {
                    $( $word => return Some(Self::$variant), )+
                    other => {
                        let planned = $crate::section::default_text!($($planned)?);
                        $crate::kinds::not_a_choice(node, cx, other, Self::WORDS, planned);
                    }
                }
                None
            }

            fn render(value: &Self) -> ::serde_json::Value {
                ::serde_json::json!(value.as_str())
            }

            fn schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                $crate::schema::or_reference(&::schemars::json_schema!({ "enum": Self::WORDS }))
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use choice;

/// Reports that `text` is none of `words`; with `planned`, other words will mean something one day.
pub(crate) fn not_a_choice(
    node: &Node,
    cx: &mut Context<'_>,
    text: &str,
    words: &[&str],
    planned: Option<&str>,
) {
    if let Some(planned) = planned {
        let message = format!("{} is not supported yet ({planned})", describe(node));
        cx.error_with_help(node.span, message, format!("write {}", words.join(" or ")));
    } else {
        let message = format!("expected one of {}, found {}", words.join(", "), describe(node));
        cx.unknown(node.span, message, text, words.iter().copied());
    }
}

/// Refuses a secret that is written in the file.
fn must_be_reference(node: &Node, cx: &mut Context<'_>, name: &str) -> bool {
    let message = format!("`{name}` holds a secret, and secrets are given only by reference");
    cx.error_with_help(node.span, message, "write \"${NAME_OF_A_VARIABLE}\"");
    false
}

/// A secret that must come from a reference; empty means that there is none.
pub(crate) enum OptSecret {}

impl Kind for OptSecret {
    type Value = Option<Secret>;

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let scalar = cx.scalar(node, "a reference like \"${MODEL_KEY}\"")?;
        if scalar.text.is_empty() {
            return Some(None);
        }
        let name = cx.key_name().to_owned();
        let good = scalar.referenced || must_be_reference(node, cx, &name);
        good.then(|| Some(Secret::new(scalar.text)))
    }

    fn render(value: &Self::Value) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern("^$")
    }
}

/// The value of a header: hidden, and by reference only where the header's name says that it is a secret.
pub(crate) enum HeaderSecret {}

impl Kind for HeaderSecret {
    type Value = Secret;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Secret> {
        let scalar = cx.scalar(node, "the text of a header")?;
        let name = crate::context::shorten(cx.key_name());
        if names_secret(&name) && !scalar.referenced {
            must_be_reference(node, cx, &name);
            return None;
        }
        if http::HeaderValue::from_str(&scalar.text).is_err() {
            cx.error(node.span, format!("the value of header `{name}` has characters that HTTP forbids"));
            return None;
        }
        Some(Secret::new(scalar.text))
    }

    fn render(value: &Secret) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A value that is hidden, but may be written in the file: the environment of a process.
pub(crate) enum LiteralSecret {}

impl Kind for LiteralSecret {
    type Value = Secret;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Secret> {
        cx.scalar(node, "text").map(|scalar| Secret::new(scalar.text))
    }

    fn render(value: &Secret) -> Json {
        json!(value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
