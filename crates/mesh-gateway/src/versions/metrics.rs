//! What is counted of splits and shadows. Labels are ids of the configuration.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SplitLabels {
    upstream: String,
    served_by: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShadowLabels {
    upstream: String,
    shadow: String,
    outcome: &'static str,
}

/// What became of a call at a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShadowOutcome {
    /// Both versions answered the same.
    Same,
    /// Both answered, and not the same; or only one of them with a result.
    Different,
    /// The shadow gave no answer in time.
    Failed,
    /// There is nothing to compare with: the caller got no whole result.
    Uncompared,
    /// Too many were under way; it was not made.
    LeftOut,
}

impl ShadowOutcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Failed => "failed",
            Self::Uncompared => "uncompared",
            Self::LeftOut => "left_out",
        }
    }
}

/// The counters.
#[derive(Clone)]
pub(crate) struct VersionMetrics {
    splits: Family<SplitLabels, Counter>,
    shadows: Family<ShadowLabels, Counter>,
}

impl VersionMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { splits: Family::default(), shadows: Family::default() };
        registry.register(
            "mcp_split_calls",
            "Calls of upstreams with a split, by the version that took them",
            metrics.splits.clone(),
        );
        registry.register(
            "mcp_shadow_calls",
            "Calls that were made at a shadow as well, by how its answer compares",
            metrics.shadows.clone(),
        );
        metrics
    }

    pub(super) fn split(&self, upstream: &str, served_by: &str) {
        let labels = SplitLabels { upstream: upstream.to_owned(), served_by: served_by.to_owned() };
        self.splits.get_or_create(&labels).inc();
    }

    pub(super) fn shadow(&self, upstream: &str, shadow: &str, outcome: ShadowOutcome) {
        let labels = ShadowLabels {
            upstream: upstream.to_owned(),
            shadow: shadow.to_owned(),
            outcome: outcome.name(),
        };
        self.shadows.get_or_create(&labels).inc();
    }
}
