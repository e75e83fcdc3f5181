//! Metrics, under the names of the founding document. `prometheus-client` appends `_total` to counters itself.

use crate::agents::AgentMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// What tools that no upstream lists are counted as: clients must not be able to make up label values.
pub(crate) const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabel {
    tool_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    tool_name: String,
    error_type: &'static str,
}

/// What is counted. Its size is bounded by the tools that upstreams list.
pub(crate) struct Metrics {
    pub(crate) agents: AgentMetrics,
    calls: Family<ToolLabel, Counter>,
    duration: Histogram,
    errors: Family<ErrorLabel, Counter>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let buckets =
            [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        let metrics = Self {
            agents: AgentMetrics::register(registry),
            calls: Family::default(),
            duration: Histogram::new(buckets),
            errors: Family::default(),
        };
        registry.register("mcp_tool_calls", "MCP tool calls", metrics.calls.clone());
        registry.register(
            "mcp_tool_duration_seconds",
            "How long MCP tool calls took",
            metrics.duration.clone(),
        );
        registry.register("mcp_tool_errors", "MCP tool calls that failed", metrics.errors.clone());
        metrics
    }

    /// Counts a call that has ended; `tool` is its federated name, or [`UNKNOWN`].
    pub(crate) fn ended(&self, tool: &str, took: Duration, error: Option<&'static str>) {
        self.calls.get_or_create(&ToolLabel { tool_name: tool.to_owned() }).inc();
        self.duration.observe(took.as_secs_f64());
        if let Some(error_type) = error {
            self.errors.get_or_create(&ErrorLabel { tool_name: tool.to_owned(), error_type }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposed_names_are_those_of_the_founding_document() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.ended("crm_get", Duration::from_millis(3), None);
        metrics.ended(UNKNOWN, Duration::from_millis(3), Some("unknown_tool"));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "mcp_tool_calls_total{tool_name=\"crm_get\"} 1",
            "mcp_tool_duration_seconds_count 2",
            "mcp_tool_errors_total{tool_name=\"unknown\",error_type=\"unknown_tool\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
