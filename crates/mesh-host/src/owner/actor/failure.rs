//! What an owner does when the log refuses its events.

use super::{Actor, Ask, Batch, HEAL_AFTER};
use crate::owner::ask::{Detail, OwnerError};
use crate::owner::rows::load;
use mesh_core::lifecycle::Phase;
use mesh_log::{AppendError, LogError};
use tokio::time::{Instant, sleep};

impl Actor {
    /// Nothing of the batch was recorded: back to what the log has, and an attempt that went on without it is over.
    pub(super) async fn recover_from(&mut self, error: AppendError, batch: Batch) {
        let error = match error {
            AppendError::Log(error) => OwnerError::from(error),
            other => OwnerError::from(LogError::Failed(other.to_string())),
        };
        if !matches!(error, OwnerError::Closed) {
            tracing::error!(tenant = %self.key.tenant, task = %self.key.task, %error, "events could not be recorded");
        }
        let said = batch.said.into_iter().filter_map(|said| said.reply);
        for reply in said.chain(batch.replies) {
            reply.refuse(error.clone());
        }
        if !self.read_back().await {
            self.over = true;
            return;
        }
        self.count();
        let phase = self.record.control.phase;
        if let Some(attempt) = phase.attempt().filter(|_| batch.attempt) {
            self.broken = Some(attempt);
            if let Some(run) = &self.run {
                run.stop(&self.key.task, attempt);
            }
        }
        self.heal_at = Some(Instant::now() + HEAL_AFTER);
    }

    /// Reads the record back, however long that takes. `false`: the log is closed, or has no such task.
    pub(super) async fn read_back(&mut self) -> bool {
        loop {
            match load(&*self.shared.log, &self.key, Detail::Whole).await {
                Ok(Some(record)) => {
                    self.record = record;
                    return true;
                }
                Ok(None) | Err(LogError::Closed) => return false,
                Err(error) => {
                    tracing::error!(task = %self.key.task, %error, "the task could not be read back");
                    sleep(HEAL_AFTER).await;
                }
            }
        }
    }

    /// Goes on after a failure of the log.
    pub(super) fn heal(&mut self, inbox: &mut Vec<Ask>) {
        self.heal_at = None;
        match self.record.control.phase {
            Phase::Queued => self.enqueue(),
            phase => {
                if let Some(attempt) = phase.attempt().filter(|attempt| self.broken == Some(*attempt)) {
                    let reason = "its events could not be recorded".to_owned();
                    inbox.push(Ask::Lost { attempt, reason });
                }
            }
        }
    }
}
