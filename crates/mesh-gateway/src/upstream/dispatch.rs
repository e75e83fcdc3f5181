//! What happens between a call and a target of its upstream.

use super::breakers::Trials;
use super::bulkhead::Permit;
use super::held::{Guard, hold};
use super::keeping::{self, NO_CACHE, Watched};
use super::safety::ToolHints;
use super::target::Outcome;
use super::targets::Leave;
use super::{Answer, Answered, Outgoing, RegisteredUpstream, UpstreamError};
use mesh_core::Principal;
use tokio::time::Instant;

/// The terms of one call, besides what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// For whom.
    pub(crate) principal: &'a Principal,
    /// What the tool says about itself, if it is one and known.
    pub(crate) hints: Option<ToolHints>,
    /// Until when there must be an answer. The caller ends the call then; this is for choosing what can still be tried.
    pub(crate) deadline: Instant,
    /// Whether only a new answer will do, none that was kept.
    pub(crate) fresh: bool,
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// Too many wait already.
    Busy,
    /// The upstream has none.
    Upstream(UpstreamError),
}

impl RegisteredUpstream {
    /// Makes a call: looks for an answer that was kept, waits for a turn, asks the breaker, and then the targets. `sent`
    /// is called when the request goes out.
    pub(crate) async fn call(
        &self,
        mut outgoing: Outgoing<'_>,
        terms: &Terms<'_>,
        sent: impl FnOnce() + Send,
    ) -> Result<Answered, CallError> {
        let marked = outgoing.meta.take(NO_CACHE).is_some_and(|value| value != "false");
        let asks =
            self.keeping.as_ref().and_then(|keeping| Some((keeping, keeping.question(&outgoing, terms)?)));
        let Some((keeping, question)) = asks else { return self.forward(outgoing, terms, sent).await };
        let lead = if marked || terms.fresh {
            keeping.bypass();
            None
        } else {
            match keeping.seat(&question).await {
                Ok(kept) => return Ok(kept),
                Err(lead) => lead,
            }
        };
        let asked = Watched::over(&mut outgoing);
        match self.forward(outgoing, terms, sent).await {
            Ok(answered) => Ok(keeping.keep(question, lead, answered, asked)),
            Err(error) => {
                keeping::land(lead);
                Err(error)
            }
        }
    }

    async fn forward(
        &self,
        outgoing: Outgoing<'_>,
        terms: &Terms<'_>,
        sent: impl FnOnce() + Send,
    ) -> Result<Answered, CallError> {
        let permit = self.bulkhead.enter().await.map_err(|_| CallError::Busy)?;
        let tool = outgoing.name.filter(|_| outgoing.method == "tools/call" && terms.hints.is_some());
        let trials = self.breakers.enter(tool).map_err(CallError::Upstream)?;
        sent();
        let mut call = Call { _permit: permit, trials, deadline: terms.deadline };
        let repeatable = self.repeatable.allows(&outgoing, terms.hints.unwrap_or_default());
        let leave = Leave { deadline: Some(terms.deadline), repeatable };
        match self.targets.ask(outgoing, leave).await {
            Ok(Answered { answer: Answer::Result(text), modern }) => {
                Ok(Answered { answer: Answer::Result(hold(text, call, None)), modern })
            }
            Ok(answered) => {
                call.trials.ended(Outcome::Error);
                Ok(answered)
            }
            Err(error) => {
                call.ended(Some(&error));
                Err(CallError::Upstream(error))
            }
        }
    }
}

/// A call under way. Dropped before its end, its client left, or its time was up.
struct Call {
    _permit: Permit,
    trials: Trials,
    deadline: Instant,
}

impl Guard for Call {
    fn ended(&mut self, error: Option<&UpstreamError>) {
        self.trials.ended(error.map_or(Outcome::Result, Outcome::of));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if Instant::now() >= self.deadline {
            self.trials.ended(Outcome::Timeout);
        }
    }
}
