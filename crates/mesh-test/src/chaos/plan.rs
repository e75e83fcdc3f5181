//! Which faults, in which order: a function of the seed.

use crate::random::Random;
use std::fmt;
use std::time::Duration;

/// What is put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Setup {
    /// One host, with the embedded store.
    Sqlite,
    /// Three hosts of one agent, on three NATS servers.
    Jetstream,
}

impl Setup {
    pub(super) fn hosts(self) -> usize {
        if self == Self::Sqlite { 1 } else { 3 }
    }

    pub(super) fn servers(self) -> usize {
        if self == Self::Sqlite { 0 } else { 3 }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "one host on SQLite",
            Self::Jetstream => "three hosts on a NATS cluster of three",
        })
    }
}

/// What goes wrong, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, and started again after this time.
    KillHost { host: usize, down: Duration },
    /// SIGSTOP, and SIGCONT after this time.
    FreezeHost { host: usize, time: Duration },
    /// SIGKILL for the worker of a host.
    KillWorker { host: usize },
    /// About half of the clients' connections are cut.
    Cut,
    /// SIGKILL for the NATS server that leads the stream, or for any; started again after this time.
    KillServer { leader: bool, any: usize, down: Duration },
    /// SIGSTOP likewise.
    FreezeServer { leader: bool, any: usize, time: Duration },
}

impl Fault {
    /// Under which name it is counted.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::KillHost { .. } => "host killed",
            Self::FreezeHost { .. } => "host frozen",
            Self::KillWorker { .. } => "worker killed",
            Self::Cut => "connections cut",
            Self::KillServer { leader: true, .. } => "NATS leader killed",
            Self::KillServer { .. } => "NATS server killed",
            Self::FreezeServer { leader: true, .. } => "NATS leader frozen",
            Self::FreezeServer { .. } => "NATS server frozen",
        }
    }
}

/// A fault, and how long to wait before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) pause: Duration,
    pub(super) fault: Fault,
}

/// Endless steps.
pub(super) struct Plan {
    random: Random,
    setup: Setup,
    lease: Duration,
    /// The mean pause.
    pace: Duration,
}

impl Plan {
    pub(super) fn new(seed: u64, setup: Setup, lease: Duration, pace: Duration) -> Self {
        Self { random: Random::new(seed), setup, lease, pace }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.random.below((to - from) as usize) as u64)
    }

    fn fault(&mut self) -> Fault {
        let host = self.random.below(self.setup.hosts());
        let beyond_lease = self.lease + self.millis(500, 2500);
        match self.random.below(100) {
            0..25 => Fault::KillHost { host, down: self.millis(10, 1500) },
            25..40 => Fault::FreezeHost { host, time: beyond_lease },
            40..62 => Fault::KillWorker { host },
            62..75 => Fault::Cut,
            _ if self.setup == Setup::Sqlite => Fault::KillHost { host, down: Duration::ZERO },
            n @ 75..88 => Fault::KillServer {
                leader: n < 84,
                any: self.random.below(self.setup.servers()),
                down: self.millis(100, 3000),
            },
            n => Fault::FreezeServer {
                leader: n < 96,
                any: self.random.below(self.setup.servers()),
                time: self.millis(500, 6000),
            },
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let mean = self.pace.as_millis().max(1) as u64;
        // Now and then two faults come at once.
        let pause = if self.random.one_in(6) { Duration::ZERO } else { self.millis(mean / 2, mean * 2) };
        Some(Step { pause, fault: self.fault() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn steps(seed: u64, setup: Setup) -> Vec<Step> {
        Plan::new(seed, setup, Duration::from_secs(2), Duration::from_secs(1)).take(500).collect()
    }

    #[test]
    fn a_seed_always_means_the_same_faults() {
        assert_eq!(steps(7, Setup::Jetstream), steps(7, Setup::Jetstream));
        assert_ne!(steps(7, Setup::Jetstream), steps(8, Setup::Jetstream));
    }

    #[test]
    fn every_kind_comes_where_it_can() {
        let kinds = |setup| steps(1, setup).iter().map(|step| step.fault.kind()).collect::<BTreeSet<_>>();
        assert_eq!(kinds(Setup::Sqlite).len(), 4);
        assert_eq!(kinds(Setup::Jetstream).len(), 8);
    }

    #[test]
    fn a_frozen_host_sleeps_longer_than_its_lease() {
        for step in steps(3, Setup::Jetstream) {
            if let Fault::FreezeHost { time, .. } = step.fault {
                assert!(time > Duration::from_secs(2));
            }
        }
    }
}
