//! A breaker: refuses calls to what fails too often, and finds out when that is over.
//!
//! ```text
//!             too many of the calls of a window failed
//!   Closed ───────────────────────────────────────────▶ Open ◀──┐
//!     ▲                                                  │      │ a probe failed
//!     │ as many probes succeeded as are wanted           │ time │
//!     └───────────────────── HalfOpen ◀──────────────────┘      │
//!                               └───────────────────────────────┘
//! ```
//! The rules are pure functions of a state that fits into one word; a breaker keeps that word in an atomic.

mod state;
mod window;

pub(crate) use state::Phase;

use self::state::{Admission, Event, State};
use self::window::Window;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When a breaker opens, and how it closes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerPolicy {
    /// Failed calls, in per cent of all in the window, from which on it opens.
    pub(crate) failures: u8,
    /// Calls in the window below which it never opens.
    pub(crate) volume: u32,
    /// How far back calls count.
    pub(crate) window: Duration,
    /// How long it stays open.
    pub(crate) open: Duration,
    /// Calls that are let through, and must succeed, before it closes again.
    pub(crate) probes: u8,
}

/// One breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: AtomicU64,
    window: Window,
    epoch: Instant,
    opened: AtomicU64,
    refused: AtomicU64,
}

/// It is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// When it is worth trying again.
    pub(crate) retry_after: Duration,
}

impl Breaker {
    pub(crate) fn new(policy: BreakerPolicy) -> Arc<Self> {
        Arc::new(Self {
            window: Window::new(policy.window),
            policy,
            state: AtomicU64::new(State::CLOSED.pack()),
            epoch: Instant::now(),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Asks whether a call may be made.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Trial, Open> {
        let now = self.now();
        match self.apply(|state| state.admit(now, &self.policy)) {
            Admission::Call { era } => {
                Ok(Trial { breaker: Arc::clone(self), era, probe: false, over: false })
            }
            Admission::Probe { era } => {
                Ok(Trial { breaker: Arc::clone(self), era, probe: true, over: false })
            }
            Admission::Refused { wait } => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Open { retry_after: Duration::from_millis(wait) })
            }
        }
    }

    /// Where it is now.
    pub(crate) fn phase(&self) -> Phase {
        State::unpack(self.state.load(Ordering::Relaxed)).phase(self.now())
    }

    /// How often it opened, and how many calls it refused.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.opened.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn ended(&self, era: u16, event: Event) {
        let now = self.now();
        let counts = match event {
            Event::Succeeded { probe: false } => {
                return self.window.add(now, era, false);
            }
            Event::Failed { probe: false } => {
                self.window.add(now, era, true);
                self.window.counts(now, era)
            }
            _ => window::Counts::default(),
        };
        let opened = self.apply(|state| state.ended(era, event, counts, now, &self.policy));
        if opened {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces the state by what `change` makes of it.
    fn apply<A>(&self, change: impl Fn(State) -> (State, A)) -> A {
        let mut word = self.state.load(Ordering::Relaxed);
        loop {
            let (next, answer) = change(State::unpack(word));
            let next = next.pack();
            if next == word {
                return answer;
            }
            match self.state.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(current) => word = current,
            }
        }
    }

    /// Milliseconds since it was made.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A call that the breaker let through. Dropped without an outcome, it says nothing.
#[derive(Debug)]
#[must_use]
pub(crate) struct Trial {
    breaker: Arc<Breaker>,
    era: u16,
    probe: bool,
    over: bool,
}

impl Trial {
    pub(crate) fn succeeded(mut self) {
        self.end(Event::Succeeded { probe: self.probe });
    }

    pub(crate) fn failed(mut self) {
        self.end(Event::Failed { probe: self.probe });
    }

    fn end(&mut self, event: Event) {
        if !std::mem::replace(&mut self.over, true) {
            self.breaker.ended(self.era, event);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.probe {
            self.end(Event::Withdrawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 50,
        volume: 10,
        window: Duration::from_secs(10),
        open: Duration::from_secs(5),
        probes: 2,
    };

    fn run(breaker: &Arc<Breaker>, good: usize, bad: usize) {
        let calls: Vec<_> = (0..good + bad).map(|_| breaker.enter().unwrap()).collect();
        for (at, call) in calls.into_iter().enumerate() {
            if at < good { call.succeeded() } else { call.failed() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_on_the_rate_of_failures_and_closes_when_probes_succeed() {
        let breaker = Breaker::new(POLICY);
        run(&breaker, 0, 9);
        assert_eq!(breaker.phase(), Phase::Closed, "too few calls to judge");
        run(&breaker, 10, 0);
        run(&breaker, 0, 1);
        assert_eq!(breaker.phase(), Phase::Open);
        assert_eq!(breaker.enter().unwrap_err().retry_after, Duration::from_secs(5));
        advance(Duration::from_secs(5)).await;
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        let (one, two) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        assert!(breaker.enter().is_err(), "no more than two at once");
        one.succeeded();
        assert!(breaker.enter().is_err(), "two in all are wanted");
        two.succeeded();
        assert_eq!(breaker.phase(), Phase::Closed);
        run(&breaker, 0, 9);
        assert_eq!(breaker.phase(), Phase::Closed, "the past is forgotten");
        assert_eq!(breaker.counts(), (1, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_is_withdrawn_makes_room() {
        let breaker = Breaker::new(POLICY);
        run(&breaker, 0, 10);
        advance(Duration::from_secs(5)).await;
        drop((breaker.enter().unwrap(), breaker.enter().unwrap()));
        breaker.enter().unwrap().failed();
        assert_eq!(breaker.phase(), Phase::Open);
        advance(Duration::from_secs(5)).await;
        breaker.enter().unwrap().succeeded();
        breaker.enter().unwrap().succeeded();
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_an_earlier_time_do_not_count() {
        let breaker = Breaker::new(POLICY);
        let late: Vec<_> = (0..20).map(|_| breaker.enter().unwrap()).collect();
        run(&breaker, 0, 10);
        advance(Duration::from_secs(5)).await;
        run(&breaker, 2, 0);
        late.into_iter().for_each(Trial::failed);
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_window_counts() {
        let breaker = Breaker::new(POLICY);
        run(&breaker, 0, 9);
        advance(Duration::from_secs(12)).await;
        run(&breaker, 0, 9);
        assert_eq!(breaker.phase(), Phase::Closed);
        run(&breaker, 0, 1);
        assert_eq!(breaker.phase(), Phase::Open);
    }
}
