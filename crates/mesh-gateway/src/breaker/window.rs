//! How many calls there were lately, and how many failed: a ring of short slices of time.

use super::BreakerPolicy;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const SLICES: u64 = 10;
/// Bits of a count. What does not fit is not counted any more; the rate is known well enough then.
const COUNT: u32 = 16;
const FULL: u64 = (1 << COUNT) - 1;

/// Calls of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) total: u32,
    pub(super) failed: u32,
}

impl Counts {
    pub(super) fn too_many(self, policy: &BreakerPolicy) -> bool {
        let enough = self.total >= policy.volume.max(1);
        enough && u64::from(self.failed) * 100 >= u64::from(self.total) * u64::from(policy.failures)
    }
}

/// Each slice is one word: which slice of time it counts (sixteen bits), in which era of the breaker (sixteen), calls,
/// failed calls. A word of another time or era is begun anew.
#[derive(Debug, Default)]
pub(super) struct Window {
    slices: [AtomicU64; SLICES as usize],
    /// Milliseconds.
    length: u64,
}

impl Window {
    pub(super) fn new(window: Duration) -> Self {
        let length = u64::try_from(window.as_millis()).unwrap_or(u64::MAX) / SLICES;
        Self { slices: Default::default(), length: length.max(1) }
    }

    pub(super) fn add(&self, now: u64, era: u16, failed: bool) {
        let number = now / self.length;
        let slice = &self.slices[(number % SLICES) as usize];
        // The closure always gives a word, so this cannot fail.
        let _ = slice.fetch_update(Relaxed, Relaxed, |word| Some(add(word, tag(number, era), failed)));
    }

    pub(super) fn counts(&self, now: u64, era: u16) -> Counts {
        let number = now / self.length;
        let first = number.saturating_sub(SLICES - 1);
        let mut counts = Counts::default();
        for number in first..=number {
            let word = self.slices[(number % SLICES) as usize].load(Relaxed);
            if word >> (2 * COUNT) == tag(number, era) {
                counts.total += (word >> COUNT & FULL) as u32;
                counts.failed += (word & FULL) as u32;
            }
        }
        counts
    }
}

/// Never zero, which is what an unused slice has.
fn tag(number: u64, era: u16) -> u64 {
    (((number + 1) & 0xffff) << 16) | u64::from(era)
}

fn add(word: u64, tag: u64, failed: bool) -> u64 {
    let fresh = word >> (2 * COUNT) != tag;
    let (total, bad) = if fresh { (0, 0) } else { (word >> COUNT & FULL, word & FULL) };
    if total == FULL {
        return word;
    }
    tag << (2 * COUNT) | (total + 1) << COUNT | (bad + u64::from(failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_counts_what_a_list_of_calls_would(
            calls in prop::collection::vec((0u64..400, any::<bool>(), 0u16..3), 0..200),
        ) {
            let window = Window::new(Duration::from_millis(1_000));
            let mut now = 0;
            let mut all: Vec<(u64, bool, u16)> = Vec::new();
            let mut era = 0;
            for (wait, failed, next) in calls {
                now += wait;
                era = era.max(next);
                window.add(now, era, failed);
                all.push((now / 100, failed, era));
            }
            let number = now / 100;
            let ours = |call: &&(u64, bool, u16)| call.0 + 10 > number && call.2 == era;
            // A slice in which the era changed counts only from then on.
            let counts = window.counts(now, era);
            prop_assert_eq!(counts.total as usize, all.iter().filter(ours).count());
            prop_assert_eq!(counts.failed as usize, all.iter().filter(ours).filter(|call| call.1).count());
        }
    }

    #[test]
    fn a_full_slice_stays_full() {
        let word = (0..70_000).fold(0, |word, _| add(word, 5, true));
        assert_eq!((word >> COUNT & FULL, word & FULL), (FULL, FULL));
    }
}
