//! The life of a task as a pure function.
//!
//! ```text
//!             create                 StartAttempt                Report::Finish
//!   (nothing) ──────▶ queued ─────────────────────▶ running(n) ───────────────────▶ ended
//!                       ▲                            │   ▲  │                         ▲
//!                       │  Release; AttemptLost      │   │  │ Report::Ask             │
//!                       ├────────────────────────────┘   │  ▼                         │
//!                       │                        Receive │ waiting(n)                 │
//!                       │  Receive                       └──┤                         │
//!                       │                                   ▼ AttemptLost             │
//!                       └──────────────────────────── waiting(no attempt)             │
//!                                                                                     │
//!   Cancel, and AttemptLost with no retry left, lead from every phase ────────────────┘
//! ```
//!
//! [`apply`] looks at a record and a command and says what happens: events to be recorded (which change the
//! record through [`TaskRecord::commit`]) and effects to be carried out once they are on disk. It never fails half
//! way, does no I/O, and is total: every command in every phase has an answer.

mod apply;
mod command;
mod invariants;
mod record;
#[cfg(test)]
mod tests;

pub use apply::{ATTEMPT_KEY, LOST_KEY, RELEASED_KEY, Transition, apply, create, recovery};
pub use command::{Command, Effect, NewTask, OnWorkerLoss, Policy, Rejected, Report};
pub use invariants::{Violation, check};
pub use record::{Control, Phase, TaskRecord};
