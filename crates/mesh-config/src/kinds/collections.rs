//! Lists, and values that may be left out.

use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use crate::context::Context;
use crate::section::Kind;
use crate::source::Span;
use crate::tree::{Node, Value};

/// A value that may be left out.
pub(crate) struct Opt<K>(PhantomData<K>);

impl<K: Kind> Kind for Opt<K> {
    type Value = Option<K::Value>;

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        K::decode(node, cx).map(Some)
    }

    fn render(value: &Self::Value) -> Json {
        value.as_ref().map_or(Json::Null, K::render)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        K::schema(generator)
    }
}

/// A list, which may be empty.
pub(crate) struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let Value::List(items) = &node.value else {
            cx.expected(node, "a list");
            return None;
        };
        // All items are looked at, so that all that is wrong is reported.
        let mut values = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.iter().enumerate() {
            let value = cx.inside(&format!("[{index}]"), Span::NONE, |cx| K::decode(item, cx));
            match (&mut values, value) {
                (Some(values), Some(value)) => values.push(value),
                _ => values = None,
            }
        }
        values
    }

    fn render(value: &Self::Value) -> Json {
        value.iter().map(K::render).collect()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": K::schema(generator) })
    }
}

/// A list with at least one item.
pub(crate) struct NonEmpty<K>(PhantomData<K>);

impl<K: Kind> Kind for NonEmpty<K> {
    type Value = Vec<K::Value>;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self::Value> {
        let values = List::<K>::decode(node, cx)?;
        if values.is_empty() {
            cx.error(node.span, "expected a list with at least one item");
            return None;
        }
        Some(values)
    }

    fn render(value: &Self::Value) -> Json {
        List::<K>::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": K::schema(generator), "minItems": 1 })
    }
}
