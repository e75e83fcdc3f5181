//! How fast a count grows.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The rate of a count over the last moments. Pure: the caller says what time it is.
pub(super) struct Rate {
    window: Duration,
    /// The count at some moments, oldest first: one at or before the beginning of the window, and those within it.
    seen: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// A count that stands at `count` now, to be looked at over `window`.
    pub(super) fn new(window: Duration, now: Instant, count: u64) -> Self {
        Self { window, seen: VecDeque::from([(now, count)]) }
    }

    /// Takes in the count as it is now; returns by how much it grew in a second, on average over the window.
    pub(super) fn observe(&mut self, now: Instant, count: u64) -> f64 {
        while self.seen.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.window) {
            self.seen.pop_front();
        }
        self.seen.push_back((now, count));
        let Some((since, before)) = self.seen.front() else { return 0.0 };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_window_and_forgets_what_was_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(Duration::from_secs(10), start, 100);
        assert_eq!(rate.observe(start, 100), 0.0);
        assert_eq!(rate.observe(at(5), 150), 10.0);
        assert_eq!(rate.observe(at(10), 150), 5.0);
        assert_eq!(rate.observe(at(15), 150), 0.0);
        assert_eq!(rate.observe(at(20), 250), 10.0);
    }

    #[test]
    fn what_is_kept_does_not_grow_with_time() {
        let start = Instant::now();
        let mut rate = Rate::new(Duration::from_secs(10), start, 0);
        for second in 0..1000 {
            rate.observe(start + Duration::from_secs(second), second);
        }
        assert!(rate.seen.len() <= 12, "{} moments", rate.seen.len());
    }
}
