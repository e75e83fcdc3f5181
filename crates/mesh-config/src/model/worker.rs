use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::kinds::{EnvName, LiteralSecret, Named, NonEmpty, Opt, PathFromFile, PythonEntry, Text, Timeout};
use crate::secret::Secret;
use crate::section::{Kind, section};
use crate::tree::{Node, Value};

/// The process that runs the tasks of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// What is started.
    pub launch: Launch,
    /// Variables added to its environment.
    pub env: BTreeMap<String, Secret>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// How long it may take until it is ready.
    pub start_timeout: Duration,
    /// How often it is asked whether it is well.
    pub health_interval: Duration,
    /// How long it may stay silent before it counts as lost.
    pub health_timeout: Duration,
}

/// What is started as a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// A Python object, run by the SDK.
    Python {
        /// `module:attribute`.
        entry: String,
        /// Virtual environment whose interpreter is used; the `python3` of the path if `None`.
        venv: Option<PathBuf>,
    },
    /// A program that speaks the worker protocol.
    Command(
        /// Program and arguments, never empty.
        Vec<String>,
    ),
}

section! {
    /// The process that runs the tasks of an agent. Either python or command says what it is.
    pub(crate) struct WorkerFields {
        /// A Python object, as module:attribute.
        python: Option<String> as Opt<PythonEntry>,
        /// Virtual environment of the Python object, from the folder of this file.
        venv: Option<PathBuf> as Opt<PathFromFile>,
        /// Program and arguments of a worker that speaks the worker protocol.
        command: Option<Vec<String>> as Opt<NonEmpty<Text>>,
        /// Variables added to its environment.
        env: BTreeMap<String, Secret> as Named<EnvName, LiteralSecret> = "{}",
        /// Its working directory, from the folder of this file.
        cwd: PathBuf as PathFromFile = ".",
        /// How long it may take until it is ready.
        start_timeout: Duration as Timeout = "60s",
        /// How often it is asked whether it is well.
        health_interval: Duration as Timeout = "10s",
        /// How long it may stay silent before it counts as lost.
        health_timeout: Duration as Timeout = "30s",
    }
    planned { a2a: "an existing A2A server as the worker" }
}

impl Kind for Worker {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let fields = WorkerFields::decode(node, cx);
        if matches!(node.value, Value::Map(_)) {
            check(node, cx)?;
        }
        let fields = fields?;
        let launch = match (fields.python, fields.command) {
            (Some(entry), _) => Launch::Python { entry, venv: fields.venv },
            (None, command) => Launch::Command(command?),
        };
        Some(Self {
            launch,
            env: fields.env,
            cwd: fields.cwd,
            start_timeout: fields.start_timeout,
            health_interval: fields.health_interval,
            health_timeout: fields.health_timeout,
        })
    }

    fn render(value: &Self) -> Json {
        let (python, venv, command) = match value.launch.clone() {
            Launch::Python { entry, venv } => (Some(entry), venv, None),
            Launch::Command(command) => (None, None, Some(command)),
        };
        WorkerFields::render(&WorkerFields {
            python,
            venv,
            command,
            env: value.env.clone(),
            cwd: value.cwd.clone(),
            start_timeout: value.start_timeout,
            health_interval: value.health_interval,
            health_timeout: value.health_timeout,
        })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = WorkerFields::schema(generator);
        schema.insert("oneOf".to_owned(), json!([{ "required": ["python"] }, { "required": ["command"] }]));
        schema
    }
}

/// Reports fields that do not go together.
fn check(node: &Node, cx: &mut Context<'_>) -> Option<()> {
    let written = |name: &str| node.get(name).is_some_and(|value| !value.is_null());
    let message = match (written("python"), written("command")) {
        (true, true) => "has both `python` and `command`",
        // `a2a` was reported as not supported; nothing else is missing.
        (false, false) if written("a2a") => return None,
        (false, false) => "needs `python` or `command`",
        (true, false) => return Some(()),
        (false, true) => {
            let Some(venv) = node.entries().iter().find(|entry| entry.key == "venv") else { return Some(()) };
            let message = format!("`venv` has no meaning next to `command` in {}", cx.path());
            cx.error_with_help(venv.key_span, message, "name the interpreter in `command`");
            return None;
        }
    };
    let span = cx.key_span(node);
    cx.error_with_help(span, format!("{} {message}", cx.path()), "exactly one of them says what is started");
    None
}

impl Serialize for Worker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::render(self).serialize(serializer)
    }
}
