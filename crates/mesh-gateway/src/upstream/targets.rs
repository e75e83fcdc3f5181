//! All targets of an upstream as one: which is asked, and what happens when it has no answer.

use super::target::{Attempt, Target};
use super::{
    Announcement, Answered, Conversation, Opened, Outgoing, Upstream, UpstreamError, Wanted, safety,
};
use crate::balance::{Balance, Mask, Picked, TargetView};
use crate::gateway::TargetHealth;
use crate::retry::{Backoff, Budget};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How requests are made again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    pub(super) backoff: Backoff,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) hedge_after: Option<Duration>,
    /// How long an answer that has begun may make no progress.
    pub(super) idle: Duration,
}

/// What may be done for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    pub(super) deadline: Option<Instant>,
    /// Whether it may reach a server twice.
    pub(super) repeatable: bool,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RepeatCounts {
    pub(crate) retries: u64,
    pub(crate) hedges: u64,
    /// Hedges that were faster.
    pub(crate) hedges_won: u64,
    /// Repeats that the budget did not allow.
    pub(crate) denied: u64,
}

/// The targets.
pub(crate) struct Targets {
    pub(super) balance: Arc<Balance<Target>>,
    repeats: Repeats,
    budget: Budget,
    retries: AtomicU64,
    hedges: AtomicU64,
    hedges_won: AtomicU64,
    denied: AtomicU64,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GiveUp,
    /// At another target, at once.
    Elsewhere,
    /// After a pause.
    Pause(Duration),
}

impl Targets {
    pub(super) fn new(balance: Arc<Balance<Target>>, repeats: Repeats, budget: Budget) -> Self {
        Self {
            balance,
            repeats,
            budget,
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            hedges_won: AtomicU64::new(0),
            denied: AtomicU64::new(0),
        }
    }

    /// Sends a request to a target, and to others when that fails and may be repeated.
    pub(super) async fn ask(
        &self,
        mut outgoing: Outgoing<'_>,
        leave: Leave,
    ) -> Result<Answered, UpstreamError> {
        if outgoing.conversation.pinned.is_some() {
            return self.ask_pinned(outgoing, leave).await;
        }
        self.budget.deposit();
        let mut tried = Mask::default();
        if !leave.repeatable && self.balance.len() == 1 {
            return self.attempt(&mut tried, leave)?.run(outgoing, None, self.repeats.idle).await;
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self.once(&outgoing, &mut tried, attempts, leave).await {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            match self.next(&error, tried, attempts, leave) {
                Next::GiveUp => return Err(error),
                Next::Elsewhere => {}
                Next::Pause(pause) => sleep(pause).await,
            }
            self.retries.fetch_add(1, Relaxed);
            if !matches!(error, UpstreamError::NotSent(_)) {
                // Progress that starts again from zero is none.
                outgoing.notify = None;
            }
        }
    }

    /// One attempt; two, if it is slow and hedged.
    async fn once(
        &self,
        outgoing: &Outgoing<'_>,
        tried: &mut Mask,
        attempts: u32,
        leave: Leave,
    ) -> Result<Answered, UpstreamError> {
        let last = attempts >= self.repeats.backoff.attempts;
        let limit = self.repeats.attempt_timeout.filter(|_| leave.repeatable && !last);
        let first = self.attempt(tried, leave)?.run(outgoing.clone(), limit, self.repeats.idle);
        let hedge = self.repeats.hedge_after.filter(|_| leave.repeatable && outgoing.asker.is_none());
        let Some(after) = hedge.filter(|_| attempts == 1 && self.balance.has_other(*tried)) else {
            return first.await;
        };
        let mut first = Box::pin(first);
        tokio::select! {
            biased;
            answered = &mut first => return answered,
            () = sleep(after) => {}
        }
        if !self.balance.has_other(*tried) || !self.may_repeat() {
            return first.await;
        }
        self.hedges.fetch_add(1, Relaxed);
        let outgoing = Outgoing { notify: None, ..outgoing.clone() };
        let mut second = Box::pin(self.attempt(tried, leave)?.run(outgoing, limit, self.repeats.idle));
        tokio::select! {
            answered = &mut first => if answered.is_ok() { answered } else { second.await },
            answered = &mut second => {
                if answered.is_err() {
                    return first.await;
                }
                self.hedges_won.fetch_add(1, Relaxed);
                answered
            }
        }
    }

    fn next(&self, error: &UpstreamError, tried: Mask, attempts: u32, leave: Leave) -> Next {
        let repeatable = match error {
            UpstreamError::NotSent(_) if self.balance.has_other(tried) => return Next::Elsewhere,
            UpstreamError::NotSent(_) | UpstreamError::Unavailable(_) | UpstreamError::BadAnswer(_) => {
                leave.repeatable
            }
            UpstreamError::Unauthorized(_) | UpstreamError::TooLarge { .. } | UpstreamError::SessionLost => {
                false
            }
        };
        let pause = self.repeats.backoff.pause(attempts, fastrand::f64()).filter(|_| repeatable);
        let Some(pause) = pause else { return Next::GiveUp };
        let late = leave.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline);
        if late || !self.may_repeat() { Next::GiveUp } else { Next::Pause(pause) }
    }

    fn may_repeat(&self) -> bool {
        let may = self.budget.withdraw();
        if !may {
            self.denied.fetch_add(1, Relaxed);
        }
        may
    }

    fn attempt(&self, tried: &mut Mask, leave: Leave) -> Result<Attempt, UpstreamError> {
        let picked = self.balance.pick(*tried).ok_or_else(none)?;
        *tried = tried.with(picked.index());
        Ok(Attempt::new(picked, leave.deadline))
    }

    /// A request that belongs to a session: it goes where that is, or nowhere.
    async fn ask_pinned(&self, outgoing: Outgoing<'_>, leave: Leave) -> Result<Answered, UpstreamError> {
        let picked = self.pinned(&outgoing.conversation)?.ok_or_else(none)?;
        let only = Mask::default().with(picked.index());
        let attempt = Attempt::new(picked, leave.deadline);
        match attempt.run(outgoing, None, self.repeats.idle).await {
            // The client starts anew, at a target that is there.
            Err(UpstreamError::NotSent(_)) if self.balance.has_other(only) => Err(UpstreamError::SessionLost),
            answered => answered,
        }
    }

    /// The target that a conversation is pinned to; `None` if it is not pinned.
    fn pinned(&self, conversation: &Conversation) -> Result<Option<Picked<Target>>, UpstreamError> {
        let Some(pinned) = &conversation.pinned else { return Ok(None) };
        let index = self.balance.targets().position(|target| target.is_at(&pinned.target));
        let index = index.ok_or(UpstreamError::SessionLost)?;
        let only = Mask::default().with(index);
        if !self.balance.is_usable(index) && self.balance.has_other(only) {
            return Err(UpstreamError::SessionLost);
        }
        Ok(self.balance.pin(index))
    }

    /// A target for something that is no request; each time another one, as long as there is one.
    fn place(&self, conversation: &Conversation, tried: &mut Mask) -> Result<Picked<Target>, UpstreamError> {
        let picked = match self.pinned(conversation)? {
            Some(picked) => picked,
            None => self.balance.pick(*tried).ok_or_else(none)?,
        };
        *tried = tried.with(picked.index());
        Ok(picked)
    }

    /// Whether what failed at one target is tried at another.
    fn moves_on(&self, conversation: &Conversation, tried: Mask) -> bool {
        conversation.pinned.is_none() && self.balance.has_other(tried)
    }

    /// The state of each target.
    pub(crate) fn health(&self) -> Vec<TargetHealth> {
        let health = |view: TargetView<'_, Target>| TargetHealth {
            target: view.target.label.to_string(),
            in_flight: view.in_flight,
            ejected: view.ejected,
            ill: view.ill,
        };
        self.balance.view().map(health).collect()
    }

    pub(super) fn counts(&self) -> RepeatCounts {
        RepeatCounts {
            retries: self.retries.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            hedges_won: self.hedges_won.load(Relaxed),
            denied: self.denied.load(Relaxed),
        }
    }

    /// Repeats that the budget still allows.
    pub(super) fn budget(&self) -> f64 {
        self.budget.left()
    }
}

fn none() -> UpstreamError {
    UpstreamError::not_sent("it has no targets")
}

#[async_trait::async_trait]
impl Upstream for Targets {
    fn start(&self) {
        self.balance.targets().for_each(|target| target.upstream.start());
    }

    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answered, UpstreamError> {
        let leave = Leave { deadline: None, repeatable: safety::is_read(outgoing.method) };
        self.ask(outgoing, leave).await
    }

    async fn notify(
        &self,
        conversation: &Arc<Conversation>,
        method: &str,
        params: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let picked = self.place(conversation, &mut Mask::default())?;
        picked.target().upstream.notify(conversation, method, params).await
    }

    async fn open(&self, conversation: &Arc<Conversation>) -> Result<Opened, UpstreamError> {
        let mut tried = Mask::default();
        loop {
            let picked = self.place(conversation, &mut tried)?;
            match picked.target().upstream.open(conversation).await {
                Err(_) if self.moves_on(conversation, tried) => {}
                opened => return opened,
            }
        }
    }

    async fn listen(
        &self,
        conversation: &Arc<Conversation>,
        wanted: Wanted,
    ) -> Result<mpsc::Receiver<Announcement>, UpstreamError> {
        let mut tried = Mask::default();
        loop {
            let picked = self.place(conversation, &mut tried)?;
            match picked.target().upstream.listen(conversation, wanted.clone()).await {
                Err(_) if self.moves_on(conversation, tried) => {}
                listening => return listening,
            }
        }
    }

    async fn close(&self, conversation: &Arc<Conversation>) {
        match self.pinned(conversation) {
            Ok(Some(picked)) => picked.target().upstream.close(conversation).await,
            // Its session may be at any of them.
            Ok(None) => {
                join_all(self.balance.targets().map(|target| target.upstream.close(conversation))).await;
            }
            Err(_) => {}
        }
    }

    async fn shutdown(&self, grace: Duration) {
        join_all(self.balance.targets().map(|target| target.upstream.shutdown(grace))).await;
    }
}
