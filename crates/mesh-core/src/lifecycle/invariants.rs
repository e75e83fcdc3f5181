//! What is true of every record, at every moment. Production asserts it in debug builds; the property tests assert it
//! after every step.

use super::record::{Phase, TaskRecord};
use crate::ids::HostId;
use crate::model::TaskState;
use std::collections::BTreeSet;

/// A promise that a record breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// H2: a task has at least one event, and no fewer than its attempts made.
    #[error("{events} events are too few for {attempts} attempts")]
    TooFewEvents {
        /// Number of the last event.
        events: u64,
        /// Attempts started.
        attempts: u32,
    },
    /// H3: the attempt that holds the task is the last one started.
    #[error("attempt {holder} holds the task, but {attempts} were started")]
    WrongHolder {
        /// Who holds it.
        holder: u32,
        /// Attempts started.
        attempts: u32,
    },
    /// H3: an attempt has a host, and nothing else has one.
    #[error("phase {phase:?} is held by {holder:?}")]
    HostWithoutAttempt {
        /// Who holds it.
        phase: Phase,
        /// On which host.
        holder: Option<HostId>,
    },
    /// H5: the state and the phase tell the same story, so that somebody always has the next move.
    #[error("state {state} in phase {phase:?}")]
    StateAndPhase {
        /// What clients see.
        state: TaskState,
        /// Who holds it.
        phase: Phase,
    },
    /// H5: an attempt is not lost more often than started.
    #[error("{losses} losses of {attempts} attempts")]
    TooManyLosses {
        /// Attempts lost.
        losses: u32,
        /// Attempts started.
        attempts: u32,
    },
    /// H6: a message is taken once.
    #[error("a message was taken twice")]
    MessageTakenTwice,
}

/// Checks H2, H3, H5 and H6 on one record.
///
/// # Errors
/// The first promise that is broken.
pub fn check(record: &TaskRecord) -> Result<(), Violation> {
    let control = &record.control;
    let attempts = control.attempts;
    if record.seq == 0 || record.seq < 1 + u64::from(attempts) {
        return Err(Violation::TooFewEvents { events: record.seq, attempts });
    }
    if let Some(holder) = control.phase.attempt()
        && holder != attempts
    {
        return Err(Violation::WrongHolder { holder, attempts });
    }
    // Records of earlier versions have attempts without hosts.
    if control.holder.is_some() && control.phase.attempt().is_none() {
        return Err(Violation::HostWithoutAttempt { phase: control.phase, holder: control.holder.clone() });
    }
    let state = record.state();
    let fits = match control.phase {
        Phase::Queued => state == TaskState::Submitted,
        Phase::Running(_) => state == TaskState::Working,
        Phase::Waiting(_) => state.is_interrupted(),
        Phase::Ended => state.is_terminal(),
    };
    if !fits {
        return Err(Violation::StateAndPhase { state, phase: control.phase });
    }
    if control.losses > attempts {
        return Err(Violation::TooManyLosses { losses: control.losses, attempts });
    }
    let distinct: BTreeSet<_> = control.received.iter().collect();
    if distinct.len() != control.received.len() || control.answers.len() + 1 != control.received.len() {
        return Err(Violation::MessageTakenTwice);
    }
    Ok(())
}
