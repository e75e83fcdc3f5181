//! Reads all pages of one of an upstream's lists.

use super::catalog::{Fetched, ToolSet};
use super::{Answer, Conversation, Kind, Outgoing, Upstream, UpstreamError};
use crate::wire::object::RawObject;
use crate::wire::string;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// Bounds of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListLimits {
    pub(crate) pages: usize,
    pub(crate) tools: usize,
    pub(crate) bytes: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow, alias = "prompts", alias = "resources", alias = "resourceTemplates")]
    tools: Vec<&'a RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    ttl_ms: Option<serde_json::Number>,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
}

/// A whole list, page after page. A server that does not have the capability, or the method, has an empty one.
pub(crate) async fn list(
    upstream: &dyn Upstream,
    id: &str,
    kind: Kind,
    limits: ListLimits,
) -> Result<Fetched, UpstreamError> {
    let none = || Fetched { tools: ToolSet::default(), ttl: None };
    if kind != Kind::Tools {
        let opened = upstream.open(&Conversation::own()).await?;
        let has = RawObject::parse_lenient(&opened.capabilities)
            .is_ok_and(|capabilities| capabilities.get(kind.capability()).is_some());
        if !has {
            return Ok(none());
        }
    }
    let mut definitions: Vec<Box<str>> = Vec::new();
    let mut bytes = 0;
    let mut ttl: Option<Duration> = None;
    let mut cursor: Option<String> = None;
    for _ in 0..limits.pages {
        let mut params = RawObject::default();
        if let Some(cursor) = &cursor {
            params.set("cursor", string(cursor));
        }
        let result = match upstream.request(Outgoing::own(kind.method(), params)).await?.answer {
            Answer::Result(result) => result.whole().await?,
            Answer::Error(error)
                if kind != Kind::Tools
                    && matches!(serde_json::from_slice(&error), Ok(Refused { code: -32601 })) =>
            {
                return Ok(none());
            }
            Answer::Error(error) => {
                let shown: String = String::from_utf8_lossy(&error).chars().take(200).collect();
                return Err(UpstreamError::bad_answer(format!("it refused `{}`: {shown}", kind.method())));
            }
        };
        let page: Page<'_> = serde_json::from_slice(&result)
            .map_err(|error| UpstreamError::bad_answer(format!("its {}: {error}", kind.method())))?;
        for tool in page.tools {
            bytes += tool.get().len();
            definitions.push(tool.get().into());
        }
        if definitions.len() > limits.tools || bytes > limits.bytes {
            return Err(UpstreamError::bad_answer(format!(
                "its {} has more than {} entries or {} bytes",
                kind.method(),
                limits.tools,
                limits.bytes
            )));
        }
        let allowed = page.ttl_ms.and_then(|ttl| ttl.as_f64()).unwrap_or(0.0);
        let allowed = Duration::try_from_secs_f64(allowed / 1000.0).unwrap_or_default();
        ttl = Some(ttl.map_or(allowed, |ttl| ttl.min(allowed)));
        match page.next_cursor {
            None => {
                let tools = ToolSet::of(kind, id, definitions.iter().map(|definition| &**definition));
                return Ok(Fetched { tools, ttl: ttl.filter(|ttl| !ttl.is_zero()) });
            }
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(UpstreamError::bad_answer(format!(
                    "its {} gives the same cursor twice",
                    kind.method()
                )));
            }
            next => cursor = next,
        }
    }
    Err(UpstreamError::bad_answer(format!("its {} has more than {} pages", kind.method(), limits.pages)))
}
