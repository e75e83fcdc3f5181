//! Finding tools: the gateway's `GET /tools`, less what the agent may not call.

use super::gateway::GatewayCalls;
use super::{CallError, CallErrorCode};
use crate::worker::CallScope;
use mesh_config::ToolPattern;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long the gateway may look for tools.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest category or query.
const LONGEST: usize = 4096;

/// Which tools are wanted. Without anything: all.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(crate) struct DiscoverCall {
    /// Of this category.
    #[serde(default)]
    pub(crate) category: Option<String>,
    /// What they are needed for, in words.
    #[serde(default)]
    pub(crate) query: Option<String>,
    /// So many at most.
    #[serde(default)]
    pub(crate) limit: Option<u32>,
}

impl DiscoverCall {
    /// Reads the `discover` of a call line.
    pub(crate) fn parse(call: &RawValue) -> Result<Self, String> {
        // A list would be read as the fields in their order.
        if !call.get().starts_with('{') {
            return Err("discover: it must be an object".to_owned());
        }
        let call: Self = serde_json::from_str(call.get()).map_err(|error| format!("discover: {error}"))?;
        for (name, text) in [("category", &call.category), ("query", &call.query)] {
            if text.as_ref().is_some_and(|text| text.len() > LONGEST) {
                return Err(format!("discover: `{name}` is longer than {LONGEST} bytes"));
            }
        }
        Ok(call)
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|limit| limit.to_string());
        let given = [("category", &self.category), ("query", &self.query), ("limit", &limit)];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

#[derive(Deserialize)]
struct Listed {
    tools: Vec<Map<String, Value>>,
}

impl GatewayCalls {
    pub(super) async fn discover_tools(
        &self,
        scope: &CallScope,
        call: &DiscoverCall,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        let failed = |why: String| CallError::new(CallErrorCode::Failed, why);
        let address = format!("{}/tools", self.settings.gateway_url);
        let url = reqwest::Url::parse_with_params(&address, call.parameters())
            .map_err(|error| failed(format!("the gateway's address is none: {error}")))?;
        let request = self
            .client
            .get(url)
            .header("agentmesh-agent", self.settings.name.as_str())
            .header("agentmesh-tenant", self.settings.caller.tenant.as_str())
            .header("agentmesh-task", scope.task.as_str())
            .header("traceparent", scope.trace.child().to_string())
            .timeout(timeout.map_or(TIMEOUT, |timeout| timeout.min(TIMEOUT)));
        let reply = self.fetch(request, "the gateway's list of tools").await?;
        if !reply.status.is_success() {
            let code = match reply.status.as_u16() {
                400 => CallErrorCode::Invalid,
                403 => CallErrorCode::NotAllowed,
                404 => CallErrorCode::NotFound,
                429 => CallErrorCode::Busy,
                503 => CallErrorCode::Unavailable,
                _ => CallErrorCode::Failed,
            };
            return Err(CallError::new(
                code,
                format!("the gateway's list of tools answered {}", reply.status),
            ));
        }
        let listed: Listed = serde_json::from_slice(&reply.body)
            .map_err(|error| failed(format!("the gateway's list of tools cannot be read: {error}")))?;
        let tools = callable(listed.tools, &self.settings.agent.tools);
        to_raw_value(&json!({ "tools": tools })).map_err(|error| failed(error.to_string()))
    }
}

/// The tools that are granted, in their order, each under the name by which the worker calls it.
fn callable(listed: Vec<Map<String, Value>>, granted: &[ToolPattern]) -> Vec<Value> {
    let named = |mut entry: Map<String, Value>| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let (upstream, tool) = match (text("upstream"), text("tool")) {
            (Some(upstream), Some(tool)) => (upstream, tool),
            _ => text("name")?.split_once('_')?,
        };
        granted.iter().any(|pattern| pattern.matches(upstream, tool)).then_some(())?;
        let name = format!("{upstream}/{tool}");
        entry.insert("name".to_owned(), name.into());
        Some(Value::Object(entry))
    };
    listed.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_granted_tools_are_found_under_the_workers_names() {
        let granted = [
            ToolPattern { upstream: "crm".into(), tool: Some("get_customer".into()) },
            ToolPattern { upstream: "erp".into(), tool: None },
        ];
        let listed = json!({ "tools": [
            { "name": "crm_get_customer", "score": 1.5 },
            { "name": "crm_delete" },
            { "name": "erp_a_b_12345678", "upstream": "erp", "tool": "a.b" },
            { "name": "odd" },
        ]});
        let listed: Listed = serde_json::from_value(listed).unwrap();
        assert_eq!(
            Value::Array(callable(listed.tools, &granted)),
            json!([
                { "name": "crm/get_customer", "score": 1.5 },
                { "name": "erp/a.b", "upstream": "erp", "tool": "a.b" },
            ])
        );
    }

    #[test]
    fn a_call_says_what_it_wants_in_bounds() {
        let parse = |text: &str| DiscoverCall::parse(&RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(parse("{}").unwrap().parameters(), []);
        let call = parse(r#"{"category":"crm","query":"a & b","limit":5}"#).unwrap();
        let expected = [("category", "crm"), ("query", "a & b"), ("limit", "5")];
        assert_eq!(call.parameters(), expected.map(|(name, value)| (name, value.to_owned())));
        assert!(parse("[]").is_err() && parse(r#"{"limit":-1}"#).is_err());
        assert!(parse(&json!({ "query": "x".repeat(5000) }).to_string()).is_err());
    }
}
