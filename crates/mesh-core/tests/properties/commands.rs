//! Random lives of a task: small domains, so that duplicates, stale attempts and full tasks are frequent.

use mesh_core::lifecycle::{OnWorkerLoss, Policy};
use mesh_core::model::TaskState;
use proptest::collection::vec;
use proptest::prelude::*;

/// Which attempt somebody speaks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// The one that holds the task, or the last one.
    Last,
    /// That number, whoever it is.
    Number(u32),
}

/// A command, before it is known what the task looks like.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Receive {
        id: u8,
        text: u8,
        context: Option<bool>,
    },
    Cancel,
    TimeOut,
    Start,
    Status(u8),
    Chunk {
        who: Who,
        artifact: u8,
        text: u8,
        append: bool,
    },
    Ask {
        who: Who,
        state: TaskState,
    },
    Finish {
        who: Who,
        state: TaskState,
    },
    Lost(Who),
    /// The host stops and starts again from what is stored.
    Restart,
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![5 => Just(Who::Last), 1 => (0..5u32).prop_map(Who::Number)]
}

fn op() -> impl Strategy<Value = Op> {
    let any_state = || proptest::sample::select(TaskState::ALL.to_vec());
    let interrupted = prop_oneof![
        6 => Just(TaskState::InputRequired), 2 => Just(TaskState::AuthRequired), 1 => any_state(),
    ];
    prop_oneof![
        5 => (0..5u8, 0..2u8, proptest::option::weighted(0.3, proptest::bool::weighted(0.7)))
            .prop_map(|(id, text, context)| Op::Receive { id, text, context }),
        1 => prop_oneof![8 => Just(Op::Start), 1 => Just(Op::Cancel), 1 => Just(Op::TimeOut)],
        8 => Just(Op::Start),
        3 => (0..40u8).prop_map(Op::Status),
        6 => (who(), 0..3u8, 0..40u8, any::<bool>())
            .prop_map(|(who, artifact, text, append)| Op::Chunk { who, artifact, text, append }),
        4 => (who(), interrupted).prop_map(|(who, state)| Op::Ask { who, state }),
        1 => (who(), any_state()).prop_map(|(who, state)| Op::Finish { who, state }),
        3 => who().prop_map(Op::Lost),
        1 => Just(Op::Restart),
    ]
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 0..60)
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let on_worker_loss =
        prop_oneof![1 => Just(OnWorkerLoss::Fail), 4 => (0..6u32).prop_map(OnWorkerLoss::Retry)];
    let max_events = prop_oneof![1 => 1..30u64, 2 => Just(1000)];
    let max_bytes = prop_oneof![1 => 0..2000u64, 2 => Just(1 << 20)];
    (on_worker_loss, max_events, max_bytes).prop_map(|(on_worker_loss, max_events, max_bytes)| Policy {
        on_worker_loss,
        max_events,
        max_bytes,
    })
}
