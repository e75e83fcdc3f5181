//! What an owner does when other hosts may write to its task's log, too.
//!
//! Nobody but the log decides: an owner appends to what it knows, and when another host was faster it looks, and says
//! again what still fits. Three things are decided so: who takes a queued task on, who goes on with the task of a host
//! that is gone, and what becomes of a message that came in at another host.

use super::{Actor, Batch, HEAL_AFTER, MAILBOX};
use crate::owner::ask::{Ask, Detail, OwnerError, Reply};
use crate::owner::rows;
use mesh_core::Seq;
use mesh_core::lifecycle::{Command, Effect, Phase};
use mesh_log::{AppendError, LogError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often one batch is said again because others were faster.
pub(super) const FASTER_OTHERS: usize = 8;

/// A command of a batch, and who waits for what becomes of it.
pub(super) struct Said {
    pub(super) command: Command,
    pub(super) reply: Option<Reply>,
}

/// What this host has to do with the task.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The attempt that runs or waits here.
    here: Option<u32>,
    waiting: bool,
    answers: usize,
}

/// Waits for asks, or until the log is ahead of what is known. `false`: nobody can ask any more.
pub(super) async fn asks_or_news(
    asks: &mut mpsc::Receiver<Ask>,
    inbox: &mut Vec<Ask>,
    tail: Option<&mut watch::Receiver<Seq>>,
    known: Seq,
) -> bool {
    let Some(tail) = tail else { return asks.recv_many(inbox, MAILBOX).await > 0 };
    let news = async {
        if tail.wait_for(|last| *last > known).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        got = asks.recv_many(inbox, MAILBOX) => got > 0,
        () = news => {
            inbox.push(Ask::Check);
            true
        }
    }
}

impl Actor {
    pub(super) fn is_shared(&self) -> bool {
        self.shared.log.is_shared()
    }

    /// Whether the task's attempt is with another host.
    pub(super) fn is_remote(&self) -> bool {
        let control = &self.record.control;
        let elsewhere = control.holder.as_ref().is_some_and(|holder| *holder != self.shared.host);
        self.is_shared() && elsewhere
    }

    pub(super) fn view(&self) -> View {
        let control = &self.record.control;
        View {
            here: control.phase.attempt().filter(|_| !self.is_remote()),
            waiting: matches!(control.phase, Phase::Waiting(_)),
            answers: control.answers.len(),
        }
    }

    /// Begins to hear of what others append.
    pub(super) async fn follow(&mut self) {
        if self.tail.is_none() && self.is_shared() && self.record.control.phase != Phase::Ended {
            // Without it, what others append shows when something is appended here.
            self.tail = self.shared.log.tail(&self.key).await.ok();
        }
    }

    /// Whether one of the asks needs the task as it is, and not as it was.
    pub(super) fn has_to_look(&self, inbox: &[Ask]) -> bool {
        let looks = |ask: &Ask| !matches!(ask, Ask::Report { .. } | Ask::Lost { .. });
        self.is_shared() && inbox.iter().any(looks)
    }

    /// Reads what others have appended. If that fails, clients are told, and the rest is tried again later.
    pub(super) async fn look(&mut self, inbox: &mut Vec<Ask>) {
        let error = match self.catch_up().await {
            Ok(true) => return,
            Ok(false) => {
                self.over = true;
                OwnerError::NotFound
            }
            Err(LogError::Closed) => {
                self.over = true;
                OwnerError::Closed
            }
            Err(error) => {
                tracing::error!(tenant = %self.key.tenant, task = %self.key.task, %error, "the log cannot be read");
                self.heal_at = Some(Instant::now() + HEAL_AFTER);
                // Until then, nothing is heard of others.
                self.tail = None;
                error.into()
            }
        };
        for ask in std::mem::take(inbox) {
            match ask {
                Ask::Command { reply, .. } | Ask::Snapshot(reply) | Ask::Settled(reply) => {
                    reply.refuse(error.clone());
                }
                Ask::Start { .. } => self.queued = false,
                ask @ (Ask::Report { .. } | Ask::Lost { .. }) if !self.over => inbox.push(ask),
                _ => {}
            }
        }
    }

    /// `false`: there is no such task any more.
    async fn catch_up(&mut self) -> Result<bool, LogError> {
        let before = self.view();
        let Some(head) = self.shared.log.head(&self.key).await? else { return Ok(false) };
        if head.seq < self.record.seq {
            return Ok(true);
        }
        if head.first > self.record.seq {
            // What came in between was trimmed: the whole task is read again.
            let whole = rows::load(&*self.shared.log, &self.key, Detail::Whole).await?;
            let Some(record) = whole else { return Ok(false) };
            self.record = record;
            self.reconcile(before);
            return Ok(true);
        }
        for event in rows::events(&*self.shared.log, &self.key, self.record.seq, head.seq).await? {
            self.record.fold(event);
        }
        let mut control = head.control;
        if control.attempts == self.record.control.attempts {
            control.touched = std::mem::take(&mut self.record.control.touched);
        }
        self.record.control = control;
        self.reconcile(before);
        Ok(true)
    }

    /// The task is not as it was: what was done here for it ends, or goes on.
    fn reconcile(&mut self, before: View) {
        let now = self.view();
        match (before.here, now.here) {
            (Some(attempt), here) if here != Some(attempt) => {
                if let Some(run) = self.run.take() {
                    run.stop(&self.key.task, attempt);
                }
                self.broken = None;
            }
            (Some(attempt), _) if before.waiting && !now.waiting && self.run.is_some() => {
                for message in self.record.control.answers.get(before.answers..).unwrap_or_default().to_vec()
                {
                    self.carry_out_one(Effect::Deliver { attempt, message });
                }
            }
            _ => {}
        }
        if self.queued && self.record.control.phase != Phase::Queued {
            self.queued = false;
            self.shared.dispatcher.dequeue(&self.key);
        }
        self.count();
    }

    /// Another host was faster: the batch is said again to the task as it is now.
    pub(super) async fn again(
        &mut self,
        before: View,
        old: Batch,
    ) -> (Phase, Batch, Result<(), AppendError>) {
        let phase = self.record.control.phase;
        if !self.read_back().await {
            self.over = true;
            return (phase, old, Err(LogError::Closed.into()));
        }
        self.reconcile(before);
        let phase = self.record.control.phase;
        let expected = self.record.seq;
        let Batch { replies, said, start, room, done, .. } = old;
        let mut batch = Batch { replies, room, done, ..Batch::default() };
        let mut started = false;
        for Said { command, reply } in said {
            let starts = matches!(command, Command::StartAttempt { .. });
            let speaks = matches!(command, Command::Report { .. } | Command::AttemptLost { .. });
            match self.apply(command, &mut batch) {
                Ok(()) => {
                    started |= starts;
                    batch.attempt |= speaks;
                    if let Some(said) = batch.said.last_mut() {
                        said.reply = reply;
                    }
                }
                Err(rejected) => {
                    self.shared.metrics.fenced.inc();
                    tracing::debug!(task = %self.key.task, %rejected, "another host was faster");
                    if let Some(reply) = reply {
                        reply.refuse(rejected.into());
                    }
                }
            }
        }
        batch.start = start.filter(|_| started);
        let outcome = if batch.changed { self.append(expected, &batch.events).await } else { Ok(()) };
        (phase, batch, outcome)
    }

    /// The attempt is given back.
    pub(super) fn take_release(&mut self, attempt: Option<u32>, reason: String, batch: &mut Batch) {
        let Some(here) = self.view().here.filter(|here| attempt.is_none_or(|attempt| attempt == *here))
        else {
            return;
        };
        // Before another host can begin the next one.
        if let Some(run) = &self.run {
            run.stop(&self.key.task, here);
        }
        if let Err(rejected) = self.apply(Command::Release { attempt: here, reason }, batch) {
            tracing::debug!(task = %self.key.task, %rejected, "release of an attempt that is over");
        }
    }

    /// The host that held the attempt is gone, if it still is the one that holds it.
    pub(super) fn take_host_loss(&mut self, host: Option<&mesh_core::HostId>, batch: &mut Batch) {
        let control = &self.record.control;
        if control.holder.as_ref() != host || (host.is_none() && self.run.is_some()) {
            return;
        }
        if let Some(attempt) = control.phase.attempt() {
            let reason = "its host was lost".to_owned();
            self.take_loss(attempt, reason, batch);
            batch.attempt = false;
        }
    }
}
