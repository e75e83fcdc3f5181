//! What a worker asks of the context of its task.

use super::memory::{MemoryError, Writer};
use super::{ContextKey, Contexts, MAX_PAGE};
use crate::calls::{CallError, CallErrorCode};
use crate::worker::CallScope;
use mesh_core::TaskId;
use mesh_log::LogError;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// The `memory` or `history` of a call line.
#[derive(Debug)]
pub(crate) enum ContextCall {
    Memory(MemoryCall),
    History(HistoryCall),
}

/// What is to be done with the memory.
#[derive(Debug)]
pub(crate) enum MemoryCall {
    Get { key: String },
    Put { key: String, value: Box<RawValue>, expect: Option<u64> },
    Delete { key: String, expect: Option<u64> },
    List { after: Option<String>, limit: usize },
}

/// Which tasks are wanted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct HistoryCall {
    /// At most so many.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Only tasks before this one.
    #[serde(default)]
    pub(crate) before: Option<TaskId>,
    /// With what they produced.
    #[serde(default)]
    pub(crate) artifacts: bool,
}

#[derive(Deserialize)]
struct MemoryFields<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    expect: Option<u64>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

/// A value that is null is not one that is missing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

impl MemoryCall {
    /// Reads the `memory` of a call line.
    pub(crate) fn parse(text: &RawValue) -> Result<Self, String> {
        let fields: MemoryFields<'_> =
            serde_json::from_str(text.get()).map_err(|error| format!("memory: {error}"))?;
        let expect = fields.expect;
        let key = fields.key.ok_or("memory: `key` is missing");
        Ok(match &*fields.op {
            "get" => Self::Get { key: key? },
            "put" => {
                let value = fields.value.ok_or("memory: `value` is missing")?.to_owned();
                Self::Put { key: key?, value, expect }
            }
            "delete" => Self::Delete { key: key?, expect },
            "list" => Self::List { after: fields.after, limit: fields.limit.unwrap_or(MAX_PAGE) },
            _ => return Err("memory: `op` is get, put, delete or list".to_owned()),
        })
    }
}

impl HistoryCall {
    /// Reads the `history` of a call line.
    pub(crate) fn parse(text: &RawValue) -> Result<Self, String> {
        serde_json::from_str(text.get()).map_err(|error| format!("history: {error}"))
    }
}

impl Contexts {
    /// Carries out a call. Context and owner are those of the task; the worker has no say in them.
    pub(crate) async fn call(
        &self,
        scope: &CallScope,
        call: &ContextCall,
    ) -> Result<Box<RawValue>, CallError> {
        let owner = &scope.owner;
        let at = ContextKey::new(owner.tenant.clone(), owner.id.clone(), scope.context.clone());
        match call {
            ContextCall::Memory(call) => self.remember(&at, scope, call).await.map_err(CallError::from),
            ContextCall::History(call) => {
                let told = self.history(&at, &scope.task, call).await.map_err(MemoryError::from)?;
                let told = told.ok_or_else(|| {
                    CallError::new(CallErrorCode::NotFound, "history: the context has no task `before`")
                })?;
                Ok(raw(&told)?)
            }
        }
    }

    async fn remember(
        &self,
        at: &ContextKey,
        scope: &CallScope,
        call: &MemoryCall,
    ) -> Result<Box<RawValue>, MemoryError> {
        let writer = Writer { context: at, task: &scope.task, attempt: scope.attempt };
        match call {
            MemoryCall::Get { key } => raw(&self.read(at, key).await?),
            MemoryCall::Put { key, value, expect } => {
                let version = self.write(&writer, key, value, *expect).await?;
                raw(&json!({ "key": key, "version": version }))
            }
            MemoryCall::Delete { key, expect } => {
                self.erase(&writer, key, *expect).await?;
                raw(&json!({ "key": key }))
            }
            MemoryCall::List { after, limit } => raw(&self.page(at, after.as_deref(), *limit).await?),
        }
    }
}

fn raw(answer: &impl Serialize) -> Result<Box<RawValue>, MemoryError> {
    to_raw_value(answer).map_err(|error| MemoryError::Invalid(error.to_string()))
}

impl From<MemoryError> for CallError {
    fn from(error: MemoryError) -> Self {
        let code = match &error {
            MemoryError::Conflict { .. } => CallErrorCode::Conflict,
            MemoryError::NotFound => CallErrorCode::NotFound,
            MemoryError::TooLarge(_) => CallErrorCode::TooLarge,
            MemoryError::Invalid(_) => CallErrorCode::Invalid,
            MemoryError::Busy => CallErrorCode::Busy,
            MemoryError::Over => CallErrorCode::Failed,
            MemoryError::Log(LogError::Overloaded) => CallErrorCode::Busy,
            MemoryError::Log(error) => {
                tracing::error!(%error, "the memory of a context cannot be reached");
                return Self::new(CallErrorCode::Unavailable, "the memory of the context cannot be reached");
            }
        };
        let actual = if let MemoryError::Conflict { actual } = error { Some(actual) } else { None };
        Self { actual, ..Self::new(code, error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MemoryCall, String> {
        MemoryCall::parse(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn null_is_a_value_and_an_expectation_that_is_null_is_none() {
        let put = parse(r#"{"op":"put","key":"k","value":null,"expect":null,"more":1}"#).unwrap();
        assert!(
            matches!(&put, MemoryCall::Put { value, expect: None, .. } if value.get() == "null"),
            "{put:?}"
        );
        let put = parse(r#"{"op":"put","key":"k","value":[1],"expect":0}"#).unwrap();
        assert!(matches!(put, MemoryCall::Put { expect: Some(0), .. }), "{put:?}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, name) in [
            ("[]", "memory: "),
            ("{}", "`op`"),
            (r#"{"op":"get"}"#, "`key`"),
            (r#"{"op":"put","key":"k"}"#, "`value`"),
            (r#"{"op":"take","key":"k"}"#, "`op` is get"),
            (r#"{"op":"put","key":"k","value":1,"expect":-1}"#, "-1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(name), "{text}: {error}");
        }
    }
}
