//! What came of each fault.

use crate::load::Percentiles;
use crate::relay::Mode;
use std::fmt::Write as _;
use std::time::Duration;

/// What came of one fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// How the target was broken.
    pub mode: Mode,
    /// Calls in all phases.
    pub calls: usize,
    /// Calls that had begun and not ended when the fault came, to whichever target.
    pub in_flight: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Those of them that were in flight when the fault came.
    pub failed_in_flight: usize,
    /// Those of them that began after the target was healed.
    pub failed_after: usize,
    /// What a few of them said.
    pub failures: Vec<String>,
    /// Of calls to the upstream, while all was well, and during the fault.
    pub latency_ms: [Percentiles; 2],
    /// Calls to the other upstream that failed.
    pub other_failed: usize,
    /// The same of the other upstream.
    pub other_latency_ms: [Percentiles; 2],
    /// From healing to the target's first call; `None` if there was none in time.
    pub recovery: Option<Duration>,
}

impl Fault {
    /// What was promised and did not hold.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let late = self.failed - self.failed_in_flight;
        if late > 0 {
            broken.push(format!("{late} calls failed that were not in flight when the fault came"));
        }
        if self.other_failed > 0 {
            broken.push(format!("{} calls of the other upstream failed", self.other_failed));
        }
        if self.recovery.is_none() {
            broken.push("the healed target got no calls".to_owned());
        }
        broken
    }
}

/// What came of all.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many targets there were.
    pub targets: usize,
    /// Calls a second.
    pub rate: u32,
    /// How long each phase took.
    pub phase: Duration,
    /// In their order.
    pub faults: Vec<Fault>,
}

impl Report {
    /// What was promised and did not hold, with the fault.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let of = |fault: &Fault| {
            fault
                .broken_promises()
                .into_iter()
                .map(|text| format!("{}: {text}", fault.mode))
                .collect::<Vec<_>>()
        };
        self.faults.iter().flat_map(of).collect()
    }

    /// A section of docs/reliability.md, without its heading.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{} targets, {} calls/s, {} s before, during and after each fault of the first target. The tool is named as safe to repeat, and one attempt may take 500 ms.\n\n",
            self.targets,
            self.rate,
            self.phase.as_secs_f64()
        );
        text.push_str("| fault | calls | in flight when it came | failed | of these in flight | p99 ms, well → broken | other upstream: failed | its p99 ms, well → broken | healed target in use after |\n");
        text.push_str("| --- |");
        text.push_str(&" ---: |".repeat(8));
        text.push('\n');
        for fault in &self.faults {
            let latency = |[well, broken]: [Percentiles; 2]| format!("{:.1} → {:.1}", well.p99, broken.p99);
            let recovery = fault
                .recovery
                .map_or_else(|| "**never**".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {recovery} |",
                fault.mode,
                fault.calls,
                fault.in_flight,
                fault.failed,
                fault.failed_in_flight,
                latency(fault.latency_ms),
                fault.other_failed,
                latency(fault.other_latency_ms),
            );
        }
        let broken = self.broken_promises();
        let _ = write!(text, "\nPromises broken: {}.", broken.len());
        for promise in broken {
            let _ = write!(text, "\n- {promise}");
        }
        text.push('\n');
        text
    }
}
