//! A configuration and how far it has come; pure.

use super::config::PushConfig;
use mesh_core::{AgentName, HostId, PrincipalId, Seq};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// First and longest pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is stored of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushRecord {
    pub(super) config: PushConfig,
    pub(super) agent: AgentName,
    pub(super) owner: PrincipalId,
    /// The client speaks 0.3, and gets its objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) old: bool,
    /// The number of the last event that the receiver has.
    pub(super) delivered: Seq,
    /// Failures of the next one so far.
    #[serde(default)]
    pub(super) failures: u32,
    /// When the first of them was, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<i64>,
    /// When it was given up, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) given_up: Option<i64>,
    /// The host that delivers.
    pub(super) host: HostId,
    #[serde(default)]
    pub(super) state: State,
}

/// Whether there is anything left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// There are events to come, or to be delivered.
    #[default]
    Active,
    /// The task has ended, and the receiver has its last event.
    Done,
    /// Given up; with the reason.
    Dead(String),
}

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after so long.
    Pause(Duration),
    /// It was tried for long enough.
    GiveUp,
}

impl PushRecord {
    /// The receiver has event `seq`.
    pub(super) fn delivered(&mut self, seq: Seq) {
        self.delivered = seq;
        self.failures = 0;
        self.failing_since = None;
    }

    /// Begins anew behind the last event that the receiver has. `false` if it was not given up.
    pub(super) fn retry(&mut self, host: &HostId) -> bool {
        let dead = matches!(self.state, State::Dead(_));
        if dead {
            (self.state, self.given_up) = (State::Active, None);
            (self.failures, self.failing_since) = (0, None);
            self.host = host.clone();
        }
        dead
    }

    /// The receiver did not take the next event. `now` in milliseconds; `jitter` from 0 to 1.
    pub(super) fn failed(&mut self, why: &str, now: i64, retry_for: Duration, jitter: f64) -> Next {
        let since = *self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let spent = Duration::from_millis(u64::try_from(now - since).unwrap_or(0));
        if spent >= retry_for {
            self.state = State::Dead(why.to_owned());
            self.given_up = Some(now);
            return Next::GiveUp;
        }
        let longest = PAUSE.saturating_mul(1 << self.failures.min(16).saturating_sub(1)).min(LONGEST_PAUSE);
        // Half of it for sure, so that a receiver in trouble gets a rest.
        Next::Pause(longest.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> PushRecord {
        PushRecord {
            config: PushConfig::default(),
            agent: "a".into(),
            owner: "p".into(),
            old: false,
            delivered: 0,
            failures: 0,
            failing_since: None,
            given_up: None,
            host: "h".into(),
            state: State::Active,
        }
    }

    #[test]
    fn pauses_grow_and_it_ends_after_the_time_that_is_given() {
        let mut record = record();
        let retry_for = Duration::from_secs(600);
        let (mut now, mut pauses) = (1_000, Vec::new());
        while let Next::Pause(pause) = record.failed("503", now, retry_for, 1.0) {
            pauses.push(pause);
            now += i64::try_from(pause.as_millis()).unwrap();
        }
        assert_eq!(pauses[..3], [PAUSE, 2 * PAUSE, 4 * PAUSE]);
        assert!(pauses.is_sorted() && *pauses.last().unwrap() == LONGEST_PAUSE);
        assert!((600_000..=660_000).contains(&(now - 1_000)), "{now}");
        assert_eq!((&record.state, record.given_up), (&State::Dead("503".to_owned()), Some(now)));
        let failed = record.clone();
        assert!(record.retry(&"other".into()) && !record.retry(&"third".into()));
        assert_eq!((&record.state, record.host.as_str()), (&State::Active, "other"));
        assert_eq!((record.delivered, record.failures, record.failing_since), (failed.delivered, 0, None));
    }

    #[test]
    fn a_success_begins_anew() {
        let mut record = record();
        let _ = record.failed("x", 0, Duration::from_secs(10), 0.5);
        record.delivered(1);
        assert_eq!((record.delivered, record.failures, record.failing_since), (1, 0, None));
        assert!(matches!(record.failed("x", 60_000, Duration::from_secs(10), 0.5), Next::Pause(_)));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_the_longest_and_never_nothing(failures in 0..u32::MAX, jitter in -1.0..2.0_f64) {
            let mut record = PushRecord { failures, ..record() };
            let Next::Pause(pause) = record.failed("x", 0, LONGEST_PAUSE, jitter) else { panic!("given up") };
            prop_assert!(pause >= PAUSE / 2 && pause <= LONGEST_PAUSE);
        }

        #[test]
        fn what_is_stored_is_read_back(delivered: u64, failures: u32, dead: bool) {
            let state = if dead { State::Dead("why".to_owned()) } else { State::Active };
            let record = PushRecord { delivered, failures, state, given_up: dead.then_some(1), ..record() };
            let text = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(serde_json::from_slice::<PushRecord>(&text).unwrap(), record);
        }
    }
}
