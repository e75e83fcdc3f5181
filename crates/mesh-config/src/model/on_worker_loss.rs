use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::kinds::Count;
use crate::section::{Kind, section};
use crate::tree::{Node, Value};

/// What happens to a task whose worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWorkerLoss {
    /// The task fails.
    Fail,
    /// The task is tried again, at most this many times.
    Retry(u32),
}

section! {
    /// Try again.
    pub(crate) struct RetryFields {
        /// Further attempts after the first.
        retry: u32 as Count<u32, 1, 100>,
    }
}

impl Kind for OnWorkerLoss {
    type Value = Self;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const WHAT: &str = "`fail` or `{ retry: 3 }`";
        match &node.value {
            Value::Map(_) => RetryFields::decode(node, cx).map(|fields| Self::Retry(fields.retry)),
            Value::Scalar { .. } => {
                let scalar = cx.scalar(node, WHAT)?;
                if scalar.text != "fail" {
                    cx.expected(node, WHAT);
                    return None;
                }
                Some(Self::Fail)
            }
            _ => {
                cx.expected(node, WHAT);
                None
            }
        }
    }

    fn render(value: &Self) -> Json {
        match value {
            Self::Fail => json!("fail"),
            Self::Retry(retry) => json!({ "retry": retry }),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let retry = RetryFields::schema(generator);
        json_schema!({ "anyOf": [{ "type": "string", "pattern": r"^fail$|\$\{" }, retry] })
    }
}

impl Serialize for OnWorkerLoss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::render(self).serialize(serializer)
    }
}
