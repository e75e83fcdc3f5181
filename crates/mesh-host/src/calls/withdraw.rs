//! Tasks that were given to other agents, and that nobody waits for any more because the task that gave them has been
//! canceled or has failed: they are canceled, too, as far as that can be done.
//!
//! A peer answers `SendMessage` when its task has settled, so until then its id is not known. The same message again, this
//! time without waiting, tells it: our hosts take a message once. Of other servers nobody knows what they would do, so they
//! are left alone.

use super::CallError;
use super::gateway::GatewayCalls;
use crate::worker::CallScope;
use mesh_core::TaskKey;
use mesh_core::model::{Message, TaskState};
use mesh_log::LogError;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Tasks that are withdrawn at a time, as many as a worker may have calls open; one more is left to its agent.
pub(super) const WITHDRAWALS: usize = 512;
/// How long it may take to withdraw one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message to another agent whose answer is awaited. Dropped before it came, it is withdrawn if its attempt is over.
pub(super) struct Given {
    calls: GatewayCalls,
    scope: CallScope,
    agent: String,
    message: Message,
    /// The message may have reached the agent.
    open: bool,
}

#[derive(Deserialize)]
struct Answer {
    task: Option<GivenTask>,
}

#[derive(Deserialize)]
struct GivenTask {
    id: String,
}

impl Given {
    pub(super) fn new(calls: &GatewayCalls, scope: &CallScope, agent: &str, message: &Message) -> Self {
        let (calls, scope, message) = (calls.clone(), scope.clone(), message.clone());
        Self { calls, scope, agent: agent.to_owned(), message, open: false }
    }

    /// It is being sent.
    pub(super) fn sent(&mut self) {
        self.open = true;
    }

    /// Whatever came of it is known.
    pub(super) fn answered(mut self) {
        self.open = false;
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if !self.open || !self.scope.over.is_cancelled() {
            return;
        }
        let Ok(place) = self.calls.withdrawals.clone().try_acquire_owned() else {
            tracing::warn!(agent = self.agent, task = %self.scope.task, "too many tasks are withdrawn: one goes on");
            return;
        };
        let Ok(runtime) = Handle::try_current() else { return };
        let (calls, scope) = (self.calls.clone(), self.scope.clone());
        let (agent, message) = (std::mem::take(&mut self.agent), self.message.clone());
        runtime.spawn(async move {
            match timeout(PATIENCE, calls.withdraw(&scope, &agent, &message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(agent, task = %scope.task, %error, "a task given to an agent was not canceled");
                }
                Err(_) => {
                    tracing::warn!(agent, task = %scope.task, "a task given to an agent was not canceled in time");
                }
            }
            drop(place);
        });
    }
}

impl GatewayCalls {
    async fn withdraw(&self, scope: &CallScope, agent: &str, message: &Message) -> Result<(), CallError> {
        match self.is_given_up(scope).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                tracing::debug!(task = %scope.task, %error, "what became of a task is not known");
                return Ok(());
            }
        }
        let (interface, ours) = self.find_peer(agent).await?;
        if !ours {
            return Ok(());
        }
        let trace = scope.trace.child();
        let params = json!({ "message": message, "configuration": { "returnImmediately": true } });
        let reply = self.post_to_peer(&trace, agent, &interface, "SendMessage", params).await?;
        let answer = reply.result(agent)?;
        let Ok(Answer { task: Some(GivenTask { id }) }) = serde_json::from_str(answer.get()) else {
            return Ok(());
        };
        let reply = self.post_to_peer(&trace, agent, &interface, "CancelTask", json!({ "id": id })).await?;
        match reply.result(agent) {
            Ok(_) => {
                tracing::info!(agent, task = %scope.task, given = id, "a task given to an agent is canceled")
            }
            // It has ended.
            Err(error) => tracing::debug!(agent, given = id, %error, "not canceled"),
        }
        Ok(())
    }

    /// Waits until the attempt is over, and tells whether its task is, too, and not well. A task that another attempt goes
    /// on with, or has just been handed over, is not.
    async fn is_given_up(&self, scope: &CallScope) -> Result<bool, LogError> {
        let key = TaskKey::new(scope.owner.tenant.clone(), scope.task.clone());
        let mut tail = self.log.tail(&key).await?;
        loop {
            let Some(head) = self.log.head(&key).await? else { return Ok(true) };
            if head.control.phase.attempt() != Some(scope.attempt) {
                return Ok(head.state.is_terminal() && head.state != TaskState::Completed);
            }
            let known = head.seq;
            if tail.wait_for(|last| *last > known).await.is_err() {
                return Err(LogError::Closed);
            }
        }
    }
}
