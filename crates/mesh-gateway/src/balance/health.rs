//! Checks that run on their own, whether there are calls or not.

use super::set::Balance;
use futures_util::future::join_all;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// How targets are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Time between two checks of one target.
    pub(crate) interval: Duration,
    /// How long one may take.
    pub(crate) timeout: Duration,
    /// Results in a row that change a mind.
    pub(crate) threshold: u32,
}

/// The last results of one target.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    passed: bool,
    length: u32,
}

impl Streak {
    /// Takes a result; says whether the target is well, once there were enough results to know.
    fn add(&mut self, passed: bool, threshold: u32) -> Option<bool> {
        if self.passed != passed {
            *self = Self { passed, length: 0 };
        }
        self.length = self.length.saturating_add(1);
        (self.length >= threshold).then_some(passed)
    }
}

/// Checks all targets, for ever. `name` is for the log.
pub(crate) async fn watch<T, E: Display>(
    balance: Arc<Balance<T>>,
    checks: Checks,
    name: impl Fn(&T) -> String,
    check: impl AsyncFn(&T) -> Result<(), E>,
) {
    let one = async |index: usize, target: &T| {
        let mut streak = Streak::default();
        // Not all at the same moment, and not in step with other gateways.
        tokio::time::sleep(part(checks.interval)).await;
        loop {
            let result = tokio::time::timeout(checks.timeout, check(target)).await;
            let failure = match &result {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} ms", checks.timeout.as_millis())),
            };
            if failure.is_none() {
                balance.passed(index);
            }
            if let Some(well) = streak.add(failure.is_none(), checks.threshold)
                && balance.found(index, !well)
            {
                let target = name(target);
                match &failure {
                    None => tracing::info!(target, "a target passes its checks again"),
                    Some(failure) => tracing::warn!(target, failure, "a target fails its checks"),
                }
            }
            tokio::time::sleep(checks.interval).await;
        }
    };
    join_all(balance.targets().enumerate().map(|(index, target)| one(index, target))).await;
}

/// A random part of a duration.
fn part(whole: Duration) -> Duration {
    whole.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::super::{Ejection, Mask, Place};
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use tokio::time::advance;

    #[test]
    fn a_mind_is_changed_by_results_in_a_row() {
        let mut streak = Streak::default();
        let said = [false, true, true, false, true, true, true].map(|passed| streak.add(passed, 2));
        assert_eq!(said, [None, None, Some(true), None, None, Some(true), Some(true)]);
    }

    #[derive(Default)]
    struct Server {
        hangs: AtomicBool,
        asked: AtomicUsize,
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_hangs_is_taken_out_and_one_that_answers_again_comes_back() {
        let place = Place { weight: 1, near: false };
        let ejection = Ejection {
            failures: 0,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(1),
            most: 50,
            spares_last: true,
        };
        let targets = [(Server::default(), place), (Server::default(), place)];
        let balance = Balance::new(targets, ejection, Duration::ZERO, true);
        let first = || balance.targets().next().unwrap();
        let checks =
            Checks { interval: Duration::from_secs(5), timeout: Duration::from_secs(1), threshold: 2 };
        let check = async |server: &Server| {
            server.asked.fetch_add(1, Ordering::Relaxed);
            if server.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        };
        let watching = tokio::spawn(watch(Arc::clone(&balance), checks, |_| "t".to_owned(), check));
        let later = async || {
            for _ in 0..30 {
                advance(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
            }
        };
        later().await;
        assert!(balance.view().all(|view| !view.ill));
        first().hangs.store(true, Ordering::Relaxed);
        later().await;
        assert_eq!(balance.view().map(|view| view.ill).collect::<Vec<_>>(), [true, false]);
        assert!((0..50).all(|_| balance.pick(Mask::default()).unwrap().index() == 1));
        first().hangs.store(false, Ordering::Relaxed);
        later().await;
        assert!(balance.view().all(|view| !view.ill && view.target.asked.load(Ordering::Relaxed) > 10));
        watching.abort();
    }
}
