//! What a run found.

use super::a2a::A2aMode;
use super::drive::{Plan, Samples, Workload};
use super::process::Usage;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was called: `a2a blocking`, `a2a stream` or `mcp`.
    pub kind: &'static str,
    /// Connections that sent at the same time.
    pub connections: usize,
    /// How long was measured.
    pub seconds: f64,
    /// Calls answered rightly in that time.
    pub calls: u64,
    /// The same for each second.
    pub calls_per_s: f64,
    /// Events of streams in that time.
    pub events: u64,
    /// The same for each second.
    pub events_per_s: f64,
    /// From the request to the end of its answer.
    pub latency_ms: Percentiles,
    /// From the request to the first event of its stream.
    pub first_event_ms: Option<Percentiles>,
    /// Calls that failed or were answered wrongly, also before and after the measured time.
    pub errors: u64,
    /// A few of them.
    pub error_texts: Vec<String>,
    /// What the measured process used.
    pub process: Option<Cpu>,
}

/// Exact percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// What the server used, its child processes included.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cpu {
    /// CPU seconds in the measured time.
    pub cpu_seconds: f64,
    /// CPU milliseconds for each call.
    pub cpu_ms_per_call: f64,
    /// Peak of resident memory in the measured time.
    pub rss_peak_bytes: u64,
}

impl Percentiles {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let rank = (times.len() as f64 * share).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

impl Report {
    pub(super) fn new(plan: &Plan, all: Vec<Samples>, usage: Option<Usage>) -> Self {
        let seconds = plan.time.as_secs_f64();
        let calls = all.iter().map(|s| s.latencies.len() as u64).sum::<u64>();
        let events = all.iter().map(|s| s.events).sum::<u64>();
        let errors = all.iter().map(|s| s.errors).sum();
        let (mut latencies, mut first_events, mut error_texts) = (Vec::new(), Vec::new(), Vec::new());
        for samples in all {
            latencies.extend(samples.latencies);
            first_events.extend(samples.first_events);
            error_texts.extend(samples.error_texts);
        }
        error_texts.truncate(5);
        Self {
            kind: match &plan.workload {
                Workload::A2a(calls) if calls.mode == A2aMode::Stream => "a2a stream",
                Workload::A2a(_) => "a2a blocking",
                Workload::Mcp(_) => "mcp",
            },
            connections: plan.connections,
            seconds,
            calls,
            calls_per_s: calls as f64 / seconds,
            events,
            events_per_s: events as f64 / seconds,
            latency_ms: Percentiles::of(latencies),
            first_event_ms: (!first_events.is_empty()).then(|| Percentiles::of(first_events)),
            errors,
            error_texts,
            process: usage.map(|usage| Cpu {
                cpu_seconds: usage.cpu.as_secs_f64(),
                cpu_ms_per_call: usage.cpu.as_secs_f64() * 1000.0 / calls.max(1) as f64,
                rss_peak_bytes: usage.rss_peak_bytes,
            }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, max } = self.latency_ms;
        write!(f, "{:<12} {:>4} conn {:>10.1} calls/s", self.kind, self.connections, self.calls_per_s)?;
        write!(f, "  p50 {p50:.2} p90 {p90:.2} p99 {p99:.2} max {max:.2} ms")?;
        if let Some(first) = self.first_event_ms {
            write!(
                f,
                "  {:.0} events/s, first p50 {:.2} p99 {:.2} ms",
                self.events_per_s, first.p50, first.p99
            )?;
        }
        if let Some(process) = self.process {
            let mebibytes = process.rss_peak_bytes as f64 / f64::from(1 << 20);
            write!(f, "  {:.3} CPU ms/call, peak {mebibytes:.1} MiB", process.cpu_ms_per_call)?;
        }
        write!(f, "  {} errors", self.errors)?;
        self.error_texts.iter().try_for_each(|text| write!(f, "\n  error: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let p = Percentiles::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((p.p50, p.p90, p.p99, p.max), (50.0, 90.0, 99.0, 100.0));
        assert_eq!(Percentiles::of(vec![Duration::from_millis(7)]).p99, 7.0);
        assert_eq!(Percentiles::of(Vec::new()).max, 0.0);
    }
}
