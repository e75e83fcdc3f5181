//! Reads all pages of an upstream's `tools/list`.

use super::catalog::{Fetched, ToolSet};
use super::{Answer, Outgoing, Upstream, UpstreamError};
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
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    ttl_ms: Option<serde_json::Number>,
}

/// All tools, page after page.
pub(crate) async fn tools(
    upstream: &dyn Upstream,
    id: &str,
    limits: ListLimits,
) -> Result<Fetched, UpstreamError> {
    let mut definitions: Vec<Box<str>> = Vec::new();
    let mut bytes = 0;
    let mut ttl: Option<Duration> = None;
    let mut cursor: Option<String> = None;
    for _ in 0..limits.pages {
        let mut params = RawObject::default();
        if let Some(cursor) = &cursor {
            params.set("cursor", string(cursor));
        }
        let result = match upstream.request(Outgoing::own("tools/list", params)).await?.answer {
            Answer::Result(result) => result.whole().await?,
            Answer::Error(error) => {
                let shown: String = String::from_utf8_lossy(&error).chars().take(200).collect();
                return Err(UpstreamError::bad_answer(format!("it refused `tools/list`: {shown}")));
            }
        };
        let page: Page<'_> = serde_json::from_slice(&result)
            .map_err(|error| UpstreamError::bad_answer(format!("its list of tools: {error}")))?;
        for tool in page.tools {
            bytes += tool.get().len();
            definitions.push(tool.get().into());
        }
        if definitions.len() > limits.tools || bytes > limits.bytes {
            return Err(UpstreamError::bad_answer(format!(
                "it has more than {} tools or {} bytes of definitions",
                limits.tools, limits.bytes
            )));
        }
        let allowed = page.ttl_ms.and_then(|ttl| ttl.as_f64()).unwrap_or(0.0);
        let allowed = Duration::try_from_secs_f64(allowed / 1000.0).unwrap_or_default();
        ttl = Some(ttl.map_or(allowed, |ttl| ttl.min(allowed)));
        match page.next_cursor {
            None => {
                let tools = ToolSet::read(id, definitions.iter().map(|definition| &**definition));
                return Ok(Fetched { tools, ttl: ttl.filter(|ttl| !ttl.is_zero()) });
            }
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(UpstreamError::bad_answer("its list of tools gives the same cursor twice"));
            }
            next => cursor = next,
        }
    }
    Err(UpstreamError::bad_answer(format!("its list of tools has more than {} pages", limits.pages)))
}
