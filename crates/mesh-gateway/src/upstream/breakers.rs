//! The breakers of one upstream: one for all of it, and one for each tool where that is wanted.

use super::UpstreamError;
use super::target::Outcome;
use crate::balance::Verdict;
use crate::breaker::{Breaker, BreakerPolicy, Open, Phase, Trial};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Breakers that are kept; tools beyond them share that of the upstream.
const MOST: usize = 2_000;

/// Breakers by the names of tools.
type ByTool = HashMap<Box<str>, Arc<Breaker>>;

/// None, where no part of failures is too many.
#[derive(Default)]
pub(crate) struct Breakers {
    all: Option<Arc<Breaker>>,
    tools: Option<(BreakerPolicy, Mutex<ByTool>)>,
}

/// A call that was let through.
#[derive(Default)]
pub(super) struct Trials {
    all: Option<Trial>,
    tool: Option<Trial>,
}

impl Breakers {
    pub(super) fn new(config: &mesh_config::Breaker) -> Self {
        if config.failures == 0 {
            return Self::default();
        }
        let policy = BreakerPolicy {
            failures: config.failures,
            volume: config.volume,
            window: config.window,
            open: config.open,
            probes: config.probes,
        };
        let tools = config.per_tool.then(|| (policy, Mutex::default()));
        Self { all: Some(Breaker::new(policy)), tools }
    }

    /// Asks whether a call may be made; `tool` is one that the upstream lists.
    pub(super) fn enter(&self, tool: Option<&str>) -> Result<Trials, UpstreamError> {
        let refused = |open: Open| {
            let secs = open.retry_after.as_secs_f64().ceil();
            UpstreamError::not_sent(format!("too many calls failed lately; try again in {secs} s"))
        };
        let all = self.all.as_ref().map(|breaker| breaker.enter()).transpose().map_err(refused)?;
        let tool = tool.and_then(|tool| self.of(tool));
        let tool = tool.map(|breaker| breaker.enter()).transpose().map_err(refused)?;
        Ok(Trials { all, tool })
    }

    /// Where the upstream's own is, how often it opened, and how many calls it refused.
    pub(crate) fn state(&self) -> Option<(Phase, u64, u64)> {
        let all = self.all.as_ref()?;
        let (opened, refused) = all.counts();
        Some((all.phase(), opened, refused))
    }

    /// How many tools have one that is not closed.
    pub(crate) fn open_tools(&self) -> usize {
        let Some((_, tools)) = &self.tools else { return 0 };
        lock(tools).values().filter(|breaker| breaker.phase() != Phase::Closed).count()
    }

    fn of(&self, tool: &str) -> Option<Arc<Breaker>> {
        let (policy, tools) = self.tools.as_ref()?;
        let mut tools = lock(tools);
        if let Some(breaker) = tools.get(tool) {
            return Some(Arc::clone(breaker));
        }
        let breaker = (tools.len() < MOST).then(|| Breaker::new(*policy))?;
        tools.insert(tool.into(), Arc::clone(&breaker));
        Some(breaker)
    }
}

fn lock(tools: &Mutex<HashMap<Box<str>, Arc<Breaker>>>) -> MutexGuard<'_, HashMap<Box<str>, Arc<Breaker>>> {
    tools.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trials {
    /// Says how the call ended. Only once; later ends are ignored.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        let Some(verdict) = outcome.verdict() else { return };
        for trial in [self.all.take(), self.tool.take()].into_iter().flatten() {
            match verdict {
                Verdict::Good => trial.succeeded(),
                Verdict::Bad => trial.failed(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_fails_leaves_the_others_alone() {
        let config = mesh_config::Breaker { per_tool: true, volume: 10, ..mesh_config::Breaker::default() };
        let breakers = Breakers::new(&config);
        for _ in 0..10 {
            breakers.enter(Some("bad")).unwrap().ended(Outcome::Timeout);
            for _ in 0..2 {
                breakers.enter(Some("good")).unwrap().ended(Outcome::Result);
            }
        }
        assert!(breakers.enter(Some("bad")).is_err());
        assert!(breakers.enter(Some("good")).is_ok() && breakers.enter(None).is_ok());
        assert_eq!((breakers.open_tools(), breakers.state().unwrap().0), (1, Phase::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_there_is_no_breaker() {
        let config = mesh_config::Breaker { failures: 0, per_tool: true, ..mesh_config::Breaker::default() };
        let breakers = Breakers::new(&config);
        for _ in 0..100 {
            breakers.enter(Some("bad")).unwrap().ended(Outcome::Unavailable);
        }
        assert!(breakers.enter(Some("bad")).is_ok() && breakers.state().is_none());
    }
}
