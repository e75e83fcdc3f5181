use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::kinds::{Count, Opt, PathFromFile, choice};
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
        /// NATS servers that keep the tasks instead, like nats://host:4222; several with commas between them.
        nats: Option<String> as Opt<NatsServers>,
        /// Copies of the tasks in a NATS cluster, when its stream is made: 1, 3 or 5.
        replicas: usize as Count<usize, 1, 5> = "1",
    }
}

all_defaults!(Storage);

/// A directory.
enum Directory {}

impl Kind for Directory {
    type Value = PathBuf;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<PathBuf> {
        let scalar = cx.scalar(node, "a directory")?;
        if scalar.text.contains("://") {
            cx.error_with_help(
                node.span,
                "storage must be a directory or NATS servers",
                "like .agentmesh or nats://host:4222",
            );
            return None;
        }
        PathFromFile::decode(node, cx)
    }

    fn render(value: &PathBuf) -> Json {
        PathFromFile::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        PathFromFile::schema(generator)
    }
}

/// Addresses of NATS servers, with commas between them.
enum NatsServers {}

impl NatsServers {
    fn are_meant(text: &str) -> bool {
        text.starts_with("nats://") || text.starts_with("tls://")
    }

    fn is_one(text: &str) -> bool {
        Self::are_meant(text)
            && text.parse::<http::Uri>().is_ok_and(|uri| {
                uri.authority().is_some_and(|authority| !authority.host().is_empty())
                    && matches!(uri.path_and_query().map(|rest| rest.as_str()), None | Some("/" | ""))
            })
    }
}

impl Kind for NatsServers {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        const WHAT: &str = "NATS servers like nats://host:4222";
        let scalar = cx.scalar(node, WHAT)?;
        if !scalar.text.split(',').all(|server| Self::is_one(server.trim())) {
            cx.expected(node, WHAT);
            return None;
        }
        if scalar.text.contains('@') && !scalar.referenced {
            cx.error_with_help(
                node.span,
                "a password is given only by reference",
                "write nats://${NAME_OF_A_VARIABLE}@host:4222, or the whole address as a reference",
            );
            return None;
        }
        Some(scalar.text)
    }

    fn render(value: &String) -> Json {
        json!(value.replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A directory, or NATS servers, or a mapping that says more.
pub(crate) enum StorageAnywhere {}

impl Kind for StorageAnywhere {
    type Value = Storage;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Storage> {
        match &node.value {
            Value::Map(_) => Storage::decode(node, cx),
            Value::Scalar { .. } if NatsServers::are_meant(&cx.scalar(node, "a directory")?.text) => {
                let empty = Node { span: node.span, value: Value::Map(Vec::new()) };
                Some(Storage { nats: Some(NatsServers::decode(node, cx)?), ..Storage::decode(&empty, cx)? })
            }
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
