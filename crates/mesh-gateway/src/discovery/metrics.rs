//! What is counted of reloads.

use super::{ReloadOutcome, Reloaded};
use mesh_core::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The counters.
pub(crate) struct ReloadMetrics {
    reloads: Family<OutcomeLabel, Counter>,
    problems: Gauge,
    success: Gauge,
}

impl ReloadMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { reloads: Family::default(), problems: Gauge::default(), success: Gauge::default() };
        registry.register(
            "agentmesh_config_reloads",
            "How often the configuration was read again, by what came of it",
            metrics.reloads.clone(),
        );
        registry.register(
            "agentmesh_config_problems",
            "What is wrong with the configuration's files as of the last time they were read",
            metrics.problems.clone(),
        );
        registry.register(
            "agentmesh_config_last_success_timestamp_seconds",
            "When the configuration was last read without a problem, since 1970",
            metrics.success.clone(),
        );
        metrics
    }

    pub(super) fn done(&self, reloaded: &Reloaded, now: Timestamp) {
        let outcome = match reloaded.outcome {
            ReloadOutcome::Changed => "changed",
            ReloadOutcome::Unchanged => "unchanged",
            ReloadOutcome::Failed => "failed",
        };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
        self.problems.set(i64::try_from(reloaded.problems.len()).unwrap_or(i64::MAX));
        if reloaded.problems.is_empty() {
            self.success.set(now.millis() / 1000);
        }
    }
}
