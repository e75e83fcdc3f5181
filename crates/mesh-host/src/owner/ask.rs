//! What an owner can be asked, and what it answers.

use crate::dispatch::Slot;
use crate::worker::Run;
use mesh_core::lifecycle::{Command, Rejected, Report};
use mesh_core::model::Task;
use mesh_core::{HostId, Seq};
use mesh_log::LogError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Where to send asks to.
pub(crate) type OwnerHandle = mpsc::Sender<Ask>;

/// What an owner can be asked.
pub(crate) enum Ask {
    /// A client's command; answered with the task as it is afterwards.
    Command {
        /// What.
        command: Command,
        /// Who wants to know.
        reply: Reply,
    },
    /// The task as it is.
    Snapshot(Reply),
    /// The task, when it has ended or waits for its client.
    Settled(Reply),
    /// A worker takes the task on.
    Start {
        /// In which process.
        run: Arc<Run>,
        /// The place it takes.
        slot: Slot,
    },
    /// A worker says something.
    Report {
        /// Fencing token.
        attempt: u32,
        /// What.
        report: Report,
        /// What it takes of the memory that one process may fill with words that are not on disk yet.
        room: Option<OwnedSemaphorePermit>,
    },
    /// The task's time is up.
    TimeOut {
        /// How long it might take.
        limit: Duration,
    },
    /// A worker is gone.
    Lost {
        /// Fencing token.
        attempt: u32,
        /// Why, safe to show.
        reason: String,
    },
    /// An attempt is given back: nothing was lost with it.
    Release {
        /// Which; the current one if left out.
        attempt: Option<u32>,
        /// Why, safe to show.
        reason: String,
        /// Dropped when it is done.
        done: Option<oneshot::Sender<()>>,
    },
    /// The host that held the task's attempt is gone; nothing happens if another one holds it by now.
    HostLost {
        /// Which host; none if the record does not say.
        host: Option<HostId>,
    },
    /// Look whether another host has changed the task.
    Check,
}

/// Who waits for an answer, and how much of the task it has to hold.
pub(crate) struct Reply {
    to: oneshot::Sender<Answer>,
    detail: Detail,
}

/// What an owner answers.
pub(crate) type Answer = Result<Snapshot, OwnerError>;

/// How much of a task somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All of it.
    Whole,
    /// All but its artifacts, which may be large.
    NoArtifacts,
}

impl Reply {
    pub(super) fn new(detail: Detail) -> (Self, oneshot::Receiver<Answer>) {
        let (to, answer) = oneshot::channel();
        (Self { to, detail }, answer)
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.to.is_closed()
    }

    pub(super) fn refuse(self, error: OwnerError) {
        let _ = self.to.send(Err(error));
    }

    pub(super) fn answer(self, task: &Task, seq: Seq) {
        if self.is_unwanted() {
            return;
        }
        let task = match self.detail {
            Detail::Whole => task.clone(),
            Detail::NoArtifacts => Task {
                id: task.id.clone(),
                context_id: task.context_id.clone(),
                status: task.status.clone(),
                artifacts: Vec::new(),
                history: task.history.clone(),
                metadata: task.metadata.clone(),
            },
        };
        let _ = self.to.send(Ok(Snapshot { task, seq }));
    }
}

/// A task as it was after event `seq`.
pub(crate) struct Snapshot {
    pub(crate) task: Task,
    pub(crate) seq: Seq,
}

/// Why an ask was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    /// There is no such task.
    #[error("no such task")]
    NotFound,
    /// The task does not allow it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Arc<LogError>),
    /// The host is shutting down.
    #[error("the host is shutting down")]
    Closed,
}

impl From<LogError> for OwnerError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Closed => Self::Closed,
            error => Self::Log(Arc::new(error)),
        }
    }
}
