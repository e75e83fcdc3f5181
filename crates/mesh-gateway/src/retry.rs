//! Trying again: how long to wait before, and how much of it an upstream can bear.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

/// How often a call is tried, and how far apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// Attempts in all, the first one included.
    pub(crate) attempts: u32,
    /// The longest pause before the second attempt. Each further one may be twice as long.
    pub(crate) first: Duration,
    /// The longest pause of all.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// How long to wait after `attempts` have failed: anything up to the bound (full jitter), so that callers who
    /// failed together do not come back together. `random` is from 0 to 1. `None`: no more.
    pub(crate) fn pause(&self, attempts: u32, random: f64) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let bound = self.first.saturating_mul(1 << (attempts.saturating_sub(1)).min(16)).min(self.longest);
        Some(bound.mul_f64(random.clamp(0.0, 1.0)))
    }
}

/// A call that is made pays in; one that is made again takes out. So repeats are a share of the calls, however many fail.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In thousandths of a repeat.
    tokens: AtomicI64,
    share: i64,
}

/// Repeats that may be saved up.
const MOST: i64 = 100;
const ONE: i64 = 1_000;

impl Budget {
    /// A budget of `share` per cent of the calls; a few are there from the start.
    pub(crate) fn new(share: u8) -> Self {
        let share = i64::from(share) * ONE / 100;
        let start = if share == 0 { 0 } else { 10 * ONE };
        Self { tokens: AtomicI64::new(start), share }
    }

    /// A call is made.
    pub(crate) fn deposit(&self) {
        let tokens = self.tokens.load(Relaxed);
        if tokens < MOST * ONE {
            self.tokens.fetch_add(self.share, Relaxed);
        }
    }

    /// A call is to be made again. Whether it may be.
    pub(crate) fn withdraw(&self) -> bool {
        let take = |tokens: i64| (tokens >= ONE).then_some(tokens - ONE);
        self.tokens.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    /// Repeats that are left.
    pub(crate) fn left(&self) -> f64 {
        self.tokens.load(Relaxed) as f64 / ONE as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end() {
        let backoff =
            Backoff { attempts: 5, first: Duration::from_millis(100), longest: Duration::from_millis(300) };
        let longest: Vec<_> = (1..6).map(|attempts| backoff.pause(attempts, 1.0)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(longest, [ms(100), ms(200), ms(300), ms(300), None]);
        assert_eq!(backoff.pause(1, 0.0), ms(0));
        assert_eq!(backoff.pause(1, 0.5), ms(50));
        assert_eq!(Backoff { attempts: 1, ..backoff }.pause(1, 1.0), None);
    }

    proptest! {
        #[test]
        fn repeats_stay_a_share_of_the_calls(share in 0u8..=100, calls in prop::collection::vec(any::<bool>(), 0..2_000)) {
            let budget = Budget::new(share);
            let (mut made, mut repeated) = (0u64, 0u64);
            for again in calls {
                budget.deposit();
                made += 1;
                if again {
                    repeated += u64::from(budget.withdraw());
                }
            }
            let spare = if share == 0 { 0 } else { 1_000 };
            prop_assert!(repeated * 100 <= made * u64::from(share) + spare);
            prop_assert!(budget.left() <= (MOST + 1) as f64);
        }
    }
}
