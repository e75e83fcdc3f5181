//! Files and directories.

use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::section::Kind;
use crate::tree::Node;

/// A path seen from the folder of the mesh file.
pub(crate) enum PathFromFile {}

impl Kind for PathFromFile {
    type Value = PathBuf;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<PathBuf> {
        let path = PathInStorage::decode(node, cx)?;
        Some(cx.resolve(&path))
    }

    fn render(value: &PathBuf) -> Json {
        PathInStorage::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        PathInStorage::schema(generator)
    }
}

/// A path that is resolved later, when the storage directory is known.
pub(crate) enum PathInStorage {}

impl Kind for PathInStorage {
    type Value = PathBuf;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<PathBuf> {
        let scalar = cx.scalar(node, "a path")?;
        if scalar.text.is_empty() {
            cx.error(node.span, "expected a path, found empty text");
            return None;
        }
        Some(PathBuf::from(scalar.text))
    }

    fn render(value: &PathBuf) -> Json {
        json!(value.to_string_lossy().replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}
