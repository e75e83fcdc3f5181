//! What can be asked of a task, what follows from it, and why it may be refused.

use crate::ids::{AgentName, ContextId, HostId, MessageId, TaskId};
use crate::model::{Artifact, Message, Part, TaskState};
use crate::principal::Principal;
use crate::trace::TraceContext;

/// A task that is to be.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// What it belongs to.
    pub context_id: ContextId,
    /// Whose it is.
    pub owner: Principal,
    /// Who is to do it.
    pub agent: AgentName,
    /// What is asked.
    pub message: Message,
    /// Where it stands in the caller's trace.
    pub trace: TraceContext,
}

/// What is asked of a task that exists.
#[derive(Clone, Debug)]
pub enum Command {
    /// The client sends a message to it.
    Receive(Message),
    /// The client wants it to end.
    Cancel,
    /// It has taken longer than it may; the text names the limit.
    TimeOut {
        /// In words that are safe to show.
        limit: String,
    },
    /// A worker of this host takes it on.
    StartAttempt {
        /// Who holds the attempt from then on.
        host: HostId,
    },
    /// The worker of an attempt says something.
    Report {
        /// The fencing token of who says it.
        attempt: u32,
        /// What.
        report: Report,
    },
    /// An attempt is given back before it did any harm: its worker never got it, or its host shuts down. Not a loss.
    Release {
        /// Which attempt.
        attempt: u32,
        /// Why, in words that are safe to show.
        reason: String,
    },
    /// The worker of an attempt is gone.
    AttemptLost {
        /// Which attempt.
        attempt: u32,
        /// Why, in words that are safe to show.
        reason: String,
    },
}

/// What a worker says about its attempt.
#[derive(Clone, Debug)]
pub enum Report {
    /// How it goes.
    Status(Vec<Part>),
    /// More of an artifact.
    Artifact {
        /// The artifact, or the parts to add.
        artifact: Artifact,
        /// Add, instead of replace.
        append: bool,
        /// Nothing more comes for it.
        last_chunk: bool,
    },
    /// The attempt waits for the client. `state` is an interrupted one.
    Ask {
        /// Input or authorization.
        state: TaskState,
        /// What is needed.
        parts: Vec<Part>,
    },
    /// The attempt has ended. `state` is a terminal one.
    Finish {
        /// How.
        state: TaskState,
        /// What is to be said about it.
        parts: Vec<Part>,
    },
}

/// What the shell has to do after the events are on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put the task into its agent's queue.
    Enqueue,
    /// Give the message to the waiting attempt.
    Deliver {
        /// Which attempt.
        attempt: u32,
        /// The client's message.
        message: Message,
    },
    /// Tell the worker to stop.
    StopAttempt {
        /// Which attempt.
        attempt: u32,
    },
}

/// What is to be done when a worker dies in mid-attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWorkerLoss {
    /// Start again, this often at most.
    Retry(u32),
    /// Fail the task.
    Fail,
}

/// What the agent's configuration says about its tasks.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What to do when a worker dies.
    pub on_worker_loss: OnWorkerLoss,
    /// Events that one task may have (`limits.task_events`).
    pub max_events: u64,
    /// Bytes of text and data that one task may hold (`limits.task_bytes`).
    pub max_bytes: u64,
}

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The task has ended.
    #[error("the task is {0} and takes no more messages; start a new task, in the same context if you like")]
    Ended(TaskState),
    /// The task has ended, so it cannot be canceled.
    #[error("the task is {0} and cannot be canceled")]
    NotCancelable(TaskState),
    /// Nobody waits for a message.
    #[error("the task is {0} and waits for no input; send the message when it is input-required")]
    NotWaiting(TaskState),
    /// Somebody speaks for an attempt that is not the current one.
    #[error("attempt {given} is not the current attempt{}", .current.map(|n| format!(" ({n})")).unwrap_or_default())]
    StaleAttempt {
        /// Who spoke.
        given: u32,
        /// Who may.
        current: Option<u32>,
    },
    /// The task is not in the queue, so nobody can take it on.
    #[error("the task is not queued")]
    NotQueued,
    /// The attempt waits for input and may only be answered, lost or canceled.
    #[error("attempt {0} asked for input and must wait for it")]
    AttemptWaits(u32),
    /// The message belongs to another context.
    #[error(
        "message.contextId: the task belongs to another context; leave contextId out or send the task's own"
    )]
    WrongContext,
    /// A state that does not fit the report.
    #[error("state {0} does not fit here")]
    WrongState(TaskState),
    /// The message's id belongs to an earlier message with another content.
    #[error("message.messageId: `{0}` was used for another message of this task")]
    MessageIdReused(MessageId),
}
