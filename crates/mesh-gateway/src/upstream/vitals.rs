//! How upstreams are doing, read when somebody scrapes the metrics: nothing of this costs a call anything.

use super::RegisteredUpstream;
use super::target::Outcome;
use crate::breaker::Phase;
use crate::plan::Plan;
use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Reads the upstreams of the plan that holds at the time.
pub(crate) struct Vitals {
    plan: Arc<ArcSwap<Plan>>,
}

impl Vitals {
    pub(crate) fn of(plan: &Arc<ArcSwap<Plan>>) -> Box<Self> {
        Box::new(Self { plan: Arc::clone(plan) })
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").finish_non_exhaustive()
    }
}

/// One metric of all upstreams.
struct Sheet<'a, 'b> {
    upstreams: &'a [Arc<RegisteredUpstream>],
    encoder: &'a mut DescriptorEncoder<'b>,
}

impl Collector for Vitals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let plan = self.plan.load_full();
        let upstreams: Vec<_> = plan.upstreams.values().cloned().collect();
        if upstreams.is_empty() {
            return Ok(());
        }
        let mut sheet = Sheet { upstreams: &upstreams, encoder: &mut encoder };
        targets(&mut sheet)?;
        bulkheads(&mut sheet)?;
        breakers(&mut sheet)?;
        repeats(&mut sheet)?;
        caches(&mut sheet)
    }
}

impl Sheet<'_, '_> {
    /// Writes one metric; `each` writes the values of one upstream.
    fn metric(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        each: impl Fn(&RegisteredUpstream, &mut Row<'_, '_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        for upstream in self.upstreams {
            each(upstream, &mut Row { metric: &mut metric, upstream: &upstream.id, kind })?;
        }
        Ok(())
    }
}

/// The values of one upstream.
struct Row<'a, 'b> {
    metric: &'a mut MetricEncoder<'b>,
    upstream: &'a str,
    kind: MetricType,
}

impl Row<'_, '_> {
    fn put(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        let all: Vec<_> =
            std::iter::once(("upstream", self.upstream)).chain(labels.iter().copied()).collect();
        let all = &all[..];
        let encoder = self.metric.encode_family(&all)?;
        match self.kind {
            MetricType::Counter => ConstCounter::new(value as u64).encode(encoder),
            _ => ConstGauge::new(value).encode(encoder),
        }
    }

    fn count(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        self.put(labels, value as f64)
    }
}

fn targets(sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let help = "Requests to targets of upstreams, by how they ended";
    sheet.metric("mcp_upstream_requests", help, MetricType::Counter, |upstream, row| {
        for target in upstream.targets.balance.targets() {
            for outcome in Outcome::ALL {
                let count = target.count(outcome);
                if count > 0 {
                    row.count(&[("target", &target.label), ("outcome", outcome.as_str())], count)?;
                }
            }
        }
        Ok(())
    })?;
    let help = "Requests under way at targets of upstreams";
    sheet.metric("mcp_upstream_in_flight", help, MetricType::Gauge, |upstream, row| {
        let mut views = upstream.targets.balance.view();
        views.try_for_each(|view| row.put(&[("target", &view.target.label)], view.in_flight.into()))
    })?;
    let help = "Whether a target is used: 1, or 0 while it is ejected or its checks fail";
    sheet.metric("mcp_upstream_target_up", help, MetricType::Gauge, |upstream, row| {
        let mut views = upstream.targets.balance.view();
        views.try_for_each(|view| {
            let up = !view.ejected && !view.ill;
            row.put(&[("target", &view.target.label)], up.into())
        })
    })?;
    let help = "How often targets of upstreams were ejected for their failures";
    sheet.metric("mcp_upstream_ejections", help, MetricType::Counter, |upstream, row| {
        let mut views = upstream.targets.balance.view();
        views.try_for_each(|view| row.count(&[("target", &view.target.label)], view.ejections))
    })
}

fn bulkheads(sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let help = "Calls of upstreams that are under way, or wait for their turn";
    sheet.metric("mcp_upstream_calls", help, MetricType::Gauge, |upstream, row| {
        let load = upstream.bulkhead.load();
        row.put(&[("state", "running")], load.running as f64)?;
        row.put(&[("state", "waiting")], load.waiting as f64)
    })?;
    let help = "Calls that were refused because too many waited";
    sheet.metric("mcp_upstream_refused", help, MetricType::Counter, |upstream, row| {
        row.count(&[], upstream.bulkhead.load().refused)
    })
}

fn breakers(sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let help = "Where the breaker of an upstream is: 1 for its state, 0 for the others";
    sheet.metric("mcp_breaker_state", help, MetricType::Gauge, |upstream, row| {
        let Some((phase, ..)) = upstream.breakers.state() else { return Ok(()) };
        [Phase::Closed, Phase::Open, Phase::HalfOpen]
            .into_iter()
            .try_for_each(|state| row.put(&[("state", state.as_str())], (state == phase).into()))
    })?;
    let help = "How often the breaker of an upstream opened";
    sheet.metric("mcp_breaker_opened", help, MetricType::Counter, |upstream, row| {
        upstream.breakers.state().map_or(Ok(()), |(_, opened, _)| row.count(&[], opened))
    })?;
    let help = "Calls that the breaker of an upstream refused";
    sheet.metric("mcp_breaker_refused", help, MetricType::Counter, |upstream, row| {
        upstream.breakers.state().map_or(Ok(()), |(.., refused)| row.count(&[], refused))
    })?;
    let help = "Tools of an upstream whose own breaker is not closed";
    sheet.metric("mcp_breaker_tools_open", help, MetricType::Gauge, |upstream, row| {
        row.put(&[], upstream.breakers.open_tools() as f64)
    })
}

fn repeats(sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let help = "Requests that were made again after a failure";
    sheet.metric("mcp_retries", help, MetricType::Counter, |upstream, row| {
        row.count(&[], upstream.targets.counts().retries)
    })?;
    let help = "Requests that were made at a second target because the first was slow";
    sheet.metric("mcp_hedges", help, MetricType::Counter, |upstream, row| {
        let counts = upstream.targets.counts();
        row.count(&[("won", "true")], counts.hedges_won)?;
        row.count(&[("won", "false")], counts.hedges.saturating_sub(counts.hedges_won))
    })?;
    let help = "Repeats that the budget of an upstream did not allow";
    sheet.metric("mcp_retries_denied", help, MetricType::Counter, |upstream, row| {
        row.count(&[], upstream.targets.counts().denied)
    })?;
    let help = "Repeats that the budget of an upstream still allows";
    sheet.metric("mcp_retry_budget", help, MetricType::Gauge, |upstream, row| {
        row.put(&[], upstream.targets.budget())
    })
}

fn caches(sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let help =
        "Calls whose answer may be kept, by whether one was: hit, shared with a call under way, miss, bypass";
    sheet.metric("mcp_cache_requests", help, MetricType::Counter, |upstream, row| {
        let Some(counts) = upstream.keeping.as_ref().map(|keeping| keeping.counts()) else { return Ok(()) };
        let results = [
            ("hit", counts.hits),
            ("shared", counts.shared),
            ("miss", counts.misses),
            ("bypass", counts.bypassed),
        ];
        results.into_iter().try_for_each(|(result, count)| row.count(&[("result", result)], count))
    })?;
    let help = "Age of the kept answers that were given, added up; divide by the hits";
    sheet.metric("mcp_cache_age_milliseconds", help, MetricType::Counter, |upstream, row| {
        let counts = upstream.keeping.as_ref().map(|keeping| keeping.counts());
        counts.map_or(Ok(()), |counts| row.count(&[], counts.age_ms))
    })?;
    let help = "Bytes of kept answers";
    sheet.metric("mcp_cache_bytes", help, MetricType::Gauge, |upstream, row| {
        let counts = upstream.keeping.as_ref().map(|keeping| keeping.counts());
        counts.map_or(Ok(()), |counts| row.put(&[], counts.bytes as f64))
    })
}
