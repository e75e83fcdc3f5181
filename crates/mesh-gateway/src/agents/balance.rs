//! Which of an agent's targets gets the next request: in turn, without those that failed lately.
//!
//! ```text
//!  closed ── FAILURES in a row ──▶ open ── pause over: one request tries ──▶ closed, or open for twice as long
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row after which a target is left out.
const FAILURES: u32 = 3;
/// For how long, the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Targets of one agent; the mesh file has as many as it likes, of which so many are used.
pub(crate) const MOST: usize = 64;

/// The targets of one agent, by their place in its list.
#[derive(Debug)]
pub(crate) struct Targets {
    list: Vec<Target>,
    next: AtomicUsize,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Target {
    /// In a row.
    failures: AtomicU32,
    /// Milliseconds after the epoch until which it is left out; 0 if it is not.
    open_until: AtomicU64,
}

impl Targets {
    pub(crate) fn new(count: usize) -> Self {
        let list = (0..count.min(MOST)).map(|_| Target::default()).collect();
        Self { list, next: AtomicUsize::new(0), epoch: Instant::now() }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The target for a request, one that it has not been to; `None` if all others are left out for now.
    pub(crate) fn pick(&self, tried: u64) -> Option<usize> {
        let (count, now) = (self.list.len(), self.now());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turns = (0..count).map(|turn| (first.wrapping_add(turn)) % count);
        let mut untried = turns.filter(|at| tried & 1 << at == 0);
        let healthy = untried.clone().find(|at| self.list[*at].open_until.load(Ordering::Relaxed) == 0);
        healthy.or_else(|| untried.find(|at| self.list[*at].may_be_tried(now)))
    }

    /// A request was answered.
    pub(crate) fn answered(&self, at: usize) {
        let target = &self.list[at];
        target.failures.store(0, Ordering::Relaxed);
        target.open_until.store(0, Ordering::Relaxed);
    }

    /// A request was not answered, or by something in front of the agent that cannot reach it either.
    pub(crate) fn failed(&self, at: usize) {
        let target = &self.list[at];
        let failures = target.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES {
            let until = self.now() + pause(failures);
            target.open_until.store(until, Ordering::Relaxed);
        }
    }

    /// Whether one of them takes requests.
    pub(crate) fn any_closed(&self) -> bool {
        self.list.iter().any(|target| target.open_until.load(Ordering::Relaxed) == 0)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Target {
    /// Whether its pause is over; if so, for one request only: the others wait for what becomes of that.
    fn may_be_tried(&self, now: u64) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        let next = now + pause(self.failures.load(Ordering::Relaxed));
        until <= now
            && self.open_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn pause(failures: u32) -> u64 {
    let doubled = failures.saturating_sub(FAILURES).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doubled).min(LONGEST_PAUSE);
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(targets: &Targets, count: usize) -> Vec<Option<usize>> {
        (0..count).map(|_| targets.pick(0)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn every_target_has_its_turn_and_one_that_fails_is_left_out_until_it_answers() {
        let targets = Targets::new(3);
        assert_eq!(picked(&targets, 4), [Some(0), Some(1), Some(2), Some(0)]);
        for _ in 0..FAILURES {
            targets.failed(1);
        }
        assert!(!picked(&targets, 6).contains(&Some(1)));
        assert_eq!(targets.pick(0b101), None, "tried already, or left out");
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(targets.pick(0b101), Some(1), "one request tries");
        assert_eq!(targets.pick(0b101), None, "only one");
        targets.failed(1);
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(targets.pick(0b101), None, "the pause is longer now");
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(targets.pick(0b101), Some(1));
        targets.answered(1);
        assert!(picked(&targets, 3).contains(&Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_makes_failures_start_over_and_pauses_are_bounded() {
        let targets = Targets::new(1);
        for _ in 0..10 {
            targets.failed(0);
            targets.failed(0);
            targets.answered(0);
        }
        assert_eq!(targets.pick(0), Some(0));
        for _ in 0..100 {
            targets.failed(0);
        }
        assert!(!targets.any_closed());
        assert_eq!(targets.pick(0), None);
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(targets.pick(0), Some(0));
    }
}
