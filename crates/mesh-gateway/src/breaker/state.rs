//! The rules: what a breaker does next, as functions of its state. Times are milliseconds of its own clock.

use super::BreakerPolicy;
use super::window::Counts;

/// Where a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// Some calls pass, to find out.
    HalfOpen,
}

impl Phase {
    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A state. The era changes whenever it closes or opens, so that late outcomes are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) era: u16,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Closed,
    Open {
        /// At most 46 bits: two thousand years.
        until: u64,
    },
    HalfOpen {
        /// Probes under way.
        out: u8,
        /// Probes that succeeded.
        good: u8,
    },
}

/// May a call be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Call { era: u16 },
    Probe { era: u16 },
    Refused { wait: u64 },
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Succeeded {
        probe: bool,
    },
    Failed {
        probe: bool,
    },
    /// A probe that nobody waited for.
    Withdrawn,
}

const TIME_BITS: u32 = 46;

impl State {
    pub(super) const CLOSED: Self = Self { era: 0, kind: Kind::Closed };

    /// Whether a call may be made now.
    pub(super) fn admit(self, now: u64, policy: &BreakerPolicy) -> (Self, Admission) {
        let (out, good) = match self.kind {
            Kind::Closed => return (self, Admission::Call { era: self.era }),
            Kind::Open { until } if now < until => return (self, Admission::Refused { wait: until - now }),
            Kind::Open { .. } => (0, 0),
            Kind::HalfOpen { out, good } => (out, good),
        };
        if out.saturating_add(good) >= policy.probes.max(1) {
            return (self, Admission::Refused { wait: millis(policy.open) });
        }
        let next = Self { kind: Kind::HalfOpen { out: out + 1, good }, ..self };
        (next, Admission::Probe { era: self.era })
    }

    /// What follows from the end of a call that was let through in `era`. Says whether the breaker opened.
    pub(super) fn ended(
        self,
        era: u16,
        event: Event,
        counts: Counts,
        now: u64,
        policy: &BreakerPolicy,
    ) -> (Self, bool) {
        if era != self.era {
            return (self, false);
        }
        let open = || {
            let until = now.saturating_add(millis(policy.open)).min((1 << TIME_BITS) - 1);
            (Self { era: self.era.wrapping_add(1), kind: Kind::Open { until } }, true)
        };
        match (self.kind, event) {
            (Kind::Closed, Event::Failed { probe: false }) if counts.too_many(policy) => open(),
            (Kind::HalfOpen { .. }, Event::Failed { probe: true }) => open(),
            (Kind::HalfOpen { out, good }, Event::Succeeded { probe: true }) => {
                let good = good.saturating_add(1);
                let kind = Kind::HalfOpen { out: out.saturating_sub(1), good };
                if good >= policy.probes.max(1) {
                    (Self { era: self.era.wrapping_add(1), kind: Kind::Closed }, false)
                } else {
                    (Self { kind, ..self }, false)
                }
            }
            (Kind::HalfOpen { out, good }, Event::Withdrawn) => {
                (Self { kind: Kind::HalfOpen { out: out.saturating_sub(1), good }, ..self }, false)
            }
            _ => (self, false),
        }
    }

    /// The phase as it shows: one whose time is over counts as half-open, though nobody tried yet.
    pub(super) fn phase(self, now: u64) -> Phase {
        match self.kind {
            Kind::Closed => Phase::Closed,
            Kind::Open { until } if now < until => Phase::Open,
            Kind::Open { .. } | Kind::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// One word: two bits of kind, sixteen of era, the rest as the kind needs.
    pub(super) fn pack(self) -> u64 {
        let (kind, rest) = match self.kind {
            Kind::Closed => (0, 0),
            Kind::Open { until } => (1, until),
            Kind::HalfOpen { out, good } => (2, u64::from(out) << 8 | u64::from(good)),
        };
        kind << 62 | u64::from(self.era) << TIME_BITS | rest
    }

    pub(super) fn unpack(word: u64) -> Self {
        let rest = word & ((1 << TIME_BITS) - 1);
        let byte = |shift: u32| (rest >> shift & 0xff) as u8;
        let kind = match word >> 62 {
            0 => Kind::Closed,
            1 => Kind::Open { until: rest },
            _ => Kind::HalfOpen { out: byte(8), good: byte(0) },
        };
        Self { era: (word >> TIME_BITS & 0xffff) as u16, kind }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[derive(Clone, Debug)]
    enum Step {
        Enter,
        /// The oldest call that is out ends.
        End(bool),
        Withdraw,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Enter),
            3 => any::<bool>().prop_map(Step::End),
            1 => Just(Step::Withdraw),
            1 => (1u64..2_000).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn a_state_survives_packing(era in any::<u16>(), until in 0u64..1 << 46, out in any::<u8>(), good in any::<u8>()) {
            for kind in [Kind::Closed, Kind::Open { until }, Kind::HalfOpen { out, good }] {
                let state = State { era, kind };
                prop_assert_eq!(State::unpack(state.pack()), state);
            }
        }

        #[test]
        fn whatever_happens_probes_are_bounded_and_waiting_always_helps(
            steps in steps(), probes in 1u8..5, volume in 1u32..20, failures in 1u8..=100,
        ) {
            let policy = BreakerPolicy {
                failures, volume, probes,
                window: Duration::from_secs(1),
                open: Duration::from_secs(1),
            };
            let (mut state, mut now) = (State::CLOSED, 0u64);
            let mut counts = Counts::default();
            let mut out: Vec<(u16, bool)> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(time) => now += time,
                    Step::Enter => {
                        let (next, admission) = state.admit(now, &policy);
                        match admission {
                            Admission::Call { era } => {
                                prop_assert_eq!(state.kind, Kind::Closed);
                                out.push((era, false));
                            }
                            Admission::Probe { era } => out.push((era, true)),
                            Admission::Refused { wait } => prop_assert!(wait > 0 && next == state),
                        }
                        state = next;
                    }
                    Step::End(_) | Step::Withdraw if out.is_empty() => {}
                    Step::End(good) => {
                        let (era, probe) = out.remove(0);
                        if era == state.era && !probe {
                            counts.total += 1;
                            counts.failed += u32::from(!good);
                        }
                        let event = if good { Event::Succeeded { probe } } else { Event::Failed { probe } };
                        let before = state;
                        let (next, opened) = state.ended(era, event, counts, now, &policy);
                        prop_assert_eq!(opened, matches!(next.kind, Kind::Open { .. }) && next.era != before.era);
                        prop_assert!(!opened || !good, "no success opens it");
                        if next.era != before.era {
                            counts = Counts::default();
                        }
                        state = next;
                    }
                    Step::Withdraw => {
                        let (era, probe) = out.remove(0);
                        if probe {
                            state = state.ended(era, Event::Withdrawn, counts, now, &policy).0;
                        }
                    }
                }
                let probing = out.iter().filter(|(era, probe)| *probe && *era == state.era).count();
                prop_assert!(probing <= usize::from(probes));
                if let Kind::HalfOpen { out, good } = state.kind {
                    prop_assert_eq!(usize::from(out), probing, "every probe is accounted for");
                    prop_assert!(good < probes);
                }
            }
            // Nothing is for ever: when what is out has ended and the time is over, calls pass, and close it.
            for (era, probe) in out {
                if probe {
                    state = state.ended(era, Event::Withdrawn, counts, now, &policy).0;
                }
            }
            now += 1_000;
            for _ in 0..probes {
                let (next, admission) = state.admit(now, &policy);
                state = next;
                match admission {
                    Admission::Probe { era } => {
                        state = state.ended(era, Event::Succeeded { probe: true }, counts, now, &policy).0;
                    }
                    Admission::Call { .. } => break,
                    Admission::Refused { .. } => prop_assert!(false, "refused for ever"),
                }
            }
            prop_assert_eq!(state.kind, Kind::Closed);
        }
    }
}
