//! What one target has to do, and how long its answers take.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// After this time without an answer, half of what is known about a target's latency is forgotten, in microseconds:
/// a target that was slow once must be tried again some day.
const HALF_LIFE: u64 = 5_000_000;

/// Counted in atomics, without order between them: an old number makes a choice worse, not wrong.
#[derive(Debug, Default)]
pub(super) struct Load {
    in_flight: AtomicU32,
    /// Moving average over about eight answers, in microseconds.
    latency: AtomicU64,
    /// When it was last changed.
    at: AtomicU64,
}

impl Load {
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// An answer came after `took` microseconds.
    pub(super) fn answered(&self, took: u64, now: u64) {
        let old = self.latency(now);
        let new = if old == 0 { took.max(1) } else { (old - old / 8 + took / 8).max(1) };
        self.latency.store(new, Relaxed);
        self.at.store(now, Relaxed);
    }

    /// The average, as far as it still says something; zero if nothing is known.
    pub(super) fn latency(&self, now: u64) -> u64 {
        let halvings = now.saturating_sub(self.at.load(Relaxed)) / HALF_LIFE;
        self.latency.load(Relaxed).checked_shr(halvings.min(64) as u32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_answers_and_fades() {
        let load = Load::default();
        load.answered(8_000, 1);
        assert_eq!(load.latency(1), 8_000);
        load.answered(16_000, 2);
        assert_eq!(load.latency(2), 9_000);
        assert_eq!(load.latency(2 + HALF_LIFE), 4_500);
        assert_eq!(load.latency(2 + 100 * HALF_LIFE), 0);
    }
}
