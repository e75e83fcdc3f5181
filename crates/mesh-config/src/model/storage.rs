use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use crate::context::Context;
use crate::kinds::{PathFromFile, choice};
use crate::section::{Kind, all_defaults, section};
use crate::tree::{Node, Value};

choice! {
    /// What "stored" means.
    pub enum Durability {
        /// On disk, also after a power failure.
        Full = "full",
        /// Handed to the operating system: survives a crash of the process, not of the machine.
        Relaxed = "relaxed",
    }
}

section! {
    /// Where tasks and audit records are kept.
    pub struct Storage {
        /// Directory of the embedded store, from the folder of this file.
        path: PathBuf as Directory = ".agentmesh",
        /// When an event counts as stored: full (on disk) or relaxed (with the operating system).
        durability: Durability as Durability = "full",
    }
}

all_defaults!(Storage);

/// A directory; the addresses of stores that are planned are refused by name.
enum Directory {}

impl Kind for Directory {
    type Value = PathBuf;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<PathBuf> {
        let scalar = cx.scalar(node, "a directory")?;
        match scalar.text.split_once("://") {
            Some(("nats" | "tls", _)) => {
                cx.error_with_help(
                    node.span,
                    "storage in NATS is not supported yet, planned",
                    "name a directory",
                );
                None
            }
            Some(_) => {
                cx.error_with_help(node.span, "storage must be a directory", "like .agentmesh");
                None
            }
            None => PathFromFile::decode(node, cx),
        }
    }

    fn render(value: &PathBuf) -> Json {
        PathFromFile::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        PathFromFile::schema(generator)
    }
}

/// A directory, or a mapping that says more.
pub(crate) enum StorageAnywhere {}

impl Kind for StorageAnywhere {
    type Value = Storage;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Storage> {
        match &node.value {
            Value::Map(_) => Storage::decode(node, cx),
            Value::Scalar { .. } => {
                Some(Storage { path: Directory::decode(node, cx)?, ..Storage::default() })
            }
            _ => {
                cx.expected(node, "a directory, or a mapping with `path`");
                None
            }
        }
    }

    fn render(value: &Storage) -> Json {
        Storage::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Directory::schema(generator), Storage::schema(generator)] })
    }
}
