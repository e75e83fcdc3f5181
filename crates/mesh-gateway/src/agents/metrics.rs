//! What is counted of requests to agents. Its size is bounded by the agents that there are.

use super::operation::Operation;
use mesh_policy::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    agent: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabel {
    agent: String,
}

type Durations = Family<AgentLabel, Histogram, fn() -> Histogram>;

/// Requests to agents.
#[derive(Clone)]
pub(crate) struct AgentMetrics {
    requests: Family<RequestLabel, Counter>,
    duration: Durations,
    streams: Family<AgentLabel, Gauge>,
    up: Family<AgentLabel, Gauge>,
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0])
}

impl AgentMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(buckets),
            streams: Family::default(),
            up: Family::default(),
        };
        registry.register("gateway_agent_requests", "A2A requests to agents", metrics.requests.clone());
        registry.register(
            "gateway_agent_request_duration_seconds",
            "How long A2A requests to agents took, streams left out",
            metrics.duration.clone(),
        );
        registry.register("gateway_agent_streams", "Open A2A event streams", metrics.streams.clone());
        registry.register(
            "gateway_agent_up",
            "Whether the agent answered when it was last asked for its card",
            metrics.up.clone(),
        );
        metrics
    }

    /// A request has ended.
    pub(super) fn ended(&self, agent: &str, operation: Operation, outcome: Outcome, took: Duration) {
        let label =
            RequestLabel { agent: agent.to_owned(), operation: operation.name(), outcome: outcome.name() };
        self.requests.get_or_create(&label).inc();
        if !operation.streams() {
            self.duration.get_or_create(&AgentLabel { agent: agent.to_owned() }).observe(took.as_secs_f64());
        }
    }

    /// A stream was opened, or closed.
    pub(super) fn stream(&self, agent: &str, change: i64) {
        self.streams.get_or_create(&AgentLabel { agent: agent.to_owned() }).inc_by(change);
    }

    /// Whether an agent is well.
    pub(crate) fn up(&self, agent: &str, up: bool) {
        self.up.get_or_create(&AgentLabel { agent: agent.to_owned() }).set(i64::from(up));
    }

    /// An agent is gone for good: names that come and go must not pile up.
    pub(crate) fn forget(&self, agent: &str) {
        let outcomes = [
            Outcome::Ok,
            Outcome::AgentError,
            Outcome::ProtocolError,
            Outcome::Denied,
            Outcome::NotFound,
            Outcome::Timeout,
            Outcome::UpstreamUnavailable,
            Outcome::ClientGone,
            Outcome::Busy,
            Outcome::Internal,
        ];
        for operation in Operation::ALL.map(Operation::name) {
            for outcome in outcomes.map(Outcome::name) {
                self.requests.remove(&RequestLabel { agent: agent.to_owned(), operation, outcome });
            }
        }
        let label = AgentLabel { agent: agent.to_owned() };
        self.duration.remove(&label);
        self.streams.remove(&label);
        self.up.remove(&label);
    }
}
