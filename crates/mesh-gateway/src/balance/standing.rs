//! Whether a target may be used: in, ejected for its failures, or ill by what checks say.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// When a target is ejected, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ejection {
    /// Failures one after the other; zero: never.
    pub(crate) failures: u32,
    /// The first time. Each further time is twice as long.
    pub(crate) first: Duration,
    /// The longest time.
    pub(crate) longest: Duration,
    /// Most targets that may be out at once, in per cent; one at least.
    pub(crate) most: u8,
    /// Whether one always stays, and is asked whatever happened: it may have come back. If not, nobody is asked while all are out.
    pub(crate) spares_last: bool,
}

impl Ejection {
    /// How long the ejection lasts before which there were `before`.
    fn lasts(&self, before: u32) -> Duration {
        self.first.saturating_mul(1 << before.min(16)).min(self.longest.max(self.first))
    }

    /// Whether another of `total` targets may be ejected when `ejected` are and `usable` are in.
    pub(super) fn allows(&self, total: usize, ejected: usize, usable: usize) -> bool {
        let most = (total * usize::from(self.most) / 100).max(1);
        ejected < most && (usable > 1 || !self.spares_last)
    }
}

/// Times are microseconds on the set's own clock, never zero.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Failures since the last success.
    failures: AtomicU32,
    /// How often it was ejected lately.
    ejections: AtomicU32,
    /// Zero while it is in.
    out_until: AtomicU64,
    /// When it came back; zero if it was never away.
    back_since: AtomicU64,
    ill: AtomicBool,
}

impl Standing {
    /// Whether it may be picked. `checked`: somebody checks targets, and one that was ejected must pass first.
    pub(super) fn usable(&self, now: u64, checked: bool) -> bool {
        if self.ill.load(Relaxed) {
            return false;
        }
        let until = self.out_until.load(Relaxed);
        until == 0 || !checked && until <= now
    }

    pub(super) fn ejected(&self, now: u64, checked: bool) -> bool {
        let until = self.out_until.load(Relaxed);
        until != 0 && (checked || until > now)
    }

    pub(super) fn is_ill(&self) -> bool {
        self.ill.load(Relaxed)
    }

    /// A target whose time is over is on probation: the next failure ejects it again.
    pub(super) fn readmit(&self, now: u64, policy: &Ejection) {
        let until = self.out_until.load(Relaxed);
        if until != 0 && until <= now && self.out_until.compare_exchange(until, 0, Relaxed, Relaxed).is_ok() {
            self.failures.store(policy.failures.saturating_sub(1), Relaxed);
            self.back_since.store(now, Relaxed);
        }
    }

    pub(super) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Whether there were as many failures now as cost a target its place.
    pub(super) fn failed(&self, policy: &Ejection) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        policy.failures != 0 && failures >= policy.failures
    }

    /// Ejects it. The set calls this for one target at a time.
    pub(super) fn eject(&self, now: u64, policy: &Ejection) -> Duration {
        let back = self.back_since.load(Relaxed);
        let before = self.ejections.load(Relaxed);
        // After a good time as long as the last ejection, twice, the past is forgiven.
        let good = now.saturating_sub(back);
        let forgiven = back == 0 || u128::from(good) > 2 * policy.lasts(before.saturating_sub(1)).as_micros();
        let before = if forgiven { 0 } else { before };
        let lasts = policy.lasts(before);
        self.ejections.store(before.saturating_add(1), Relaxed);
        self.out_until
            .store(now.saturating_add(u64::try_from(lasts.as_micros()).unwrap_or(u64::MAX)), Relaxed);
        lasts
    }

    /// What checks found out. Returns whether that is news.
    pub(super) fn found(&self, ill: bool, now: u64) -> bool {
        let news = self.ill.swap(ill, Relaxed) != ill;
        if news && !ill {
            self.failures.store(0, Relaxed);
            self.back_since.store(now, Relaxed);
        }
        news
    }

    /// The part of its weight that it gets, in per cent: it grows from ten to a hundred after it came back.
    pub(super) fn warmth(&self, now: u64, slow_start: u64) -> u64 {
        let back = self.back_since.load(Relaxed);
        let since = now.saturating_sub(back);
        if back == 0 || since >= slow_start {
            return 100;
        }
        (since * 100 / slow_start).max(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: Ejection = Ejection {
        failures: 3,
        first: Duration::from_micros(100),
        longest: Duration::from_micros(350),
        most: 50,
        spares_last: true,
    };

    #[test]
    fn failures_in_a_row_eject_for_a_time_that_grows_and_is_forgiven() {
        let standing = Standing::default();
        assert!(!standing.failed(&POLICY) && !standing.failed(&POLICY));
        standing.succeeded();
        assert!(!standing.failed(&POLICY) && !standing.failed(&POLICY) && standing.failed(&POLICY));
        let mut now = 1_000;
        for expected in [100, 200, 350, 350] {
            assert_eq!(standing.eject(now, &POLICY), Duration::from_micros(expected));
            assert!(!standing.usable(now, false) && standing.ejected(now, false));
            now += expected;
            assert!(standing.usable(now, false) && !standing.usable(now, true));
            standing.readmit(now, &POLICY);
            assert!(standing.failed(&POLICY), "the first failure after it came back counts as all");
        }
        now += 701;
        assert_eq!(standing.eject(now, &POLICY), Duration::from_micros(100));
    }

    #[test]
    fn a_target_that_came_back_warms_up() {
        let standing = Standing::default();
        assert_eq!(standing.warmth(5, 1_000), 100);
        assert!(standing.found(true, 10) && !standing.found(true, 11) && standing.found(false, 20));
        assert_eq!([20, 520, 1_020].map(|now| standing.warmth(now, 1_000)), [10, 50, 100]);
        assert_eq!(standing.warmth(20, 0), 100);
    }

    proptest! {
        #[test]
        fn never_all_are_ejected(total in 1usize..64, most in 0u8..=100) {
            let policy = Ejection { most, ..POLICY };
            let mut ejected = 0;
            while policy.allows(total, ejected, total - ejected) {
                ejected += 1;
            }
            prop_assert!(ejected < total);
            prop_assert!(ejected <= (total * usize::from(most) / 100).max(1));
        }
    }
}
