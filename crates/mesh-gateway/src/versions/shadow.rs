//! A call that is made at another version as well. The caller neither waits for it nor sees anything of it.

use super::compare;
use super::metrics::{ShadowOutcome, VersionMetrics};
use super::share::Share;
use crate::server::Route;
use crate::upstream::param_headers;
use crate::upstream::{Answer, Outgoing, RegisteredUpstream, Terms, Tool};
use crate::wire::object::RawObject;
use bytes::Bytes;
use mesh_core::Principal;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The shadow of an upstream.
pub(super) struct ShadowRoute {
    to: Arc<RegisteredUpstream>,
    share: Share,
    writes: bool,
    places: Arc<Semaphore>,
}

/// A call under way at a shadow, for whoever makes the call itself. When it is dropped without an answer, there is nothing to compare.
pub(crate) struct Shadowed {
    answer: oneshot::Sender<Bytes>,
}

impl Shadowed {
    /// The result that the caller gets.
    pub(crate) fn answered(self, result: &Bytes) {
        // The shadow may have given up already.
        let _ = self.answer.send(result.clone());
    }
}

/// The call at the shadow, with everything it needs: it outlives the caller's.
struct Copied {
    from: Arc<str>,
    to: Arc<RegisteredUpstream>,
    tool: Arc<Tool>,
    params: String,
    principal: Principal,
    deadline: Instant,
    answer: oneshot::Receiver<Bytes>,
}

impl ShadowRoute {
    pub(super) fn new(to: &Arc<RegisteredUpstream>, config: &mesh_config::Shadow) -> Self {
        Self {
            to: Arc::clone(to),
            share: Share::new(config.percent),
            writes: config.writes,
            places: Arc::new(Semaphore::new(config.concurrency)),
        }
    }

    /// Starts the call at the shadow if it is its turn, the tool may be shadowed, the shadow has it, and there is room.
    pub(super) fn begin(
        &self,
        route: &Route<'_>,
        outgoing: &Outgoing<'_>,
        terms: &Terms<'_>,
        closing: &CancellationToken,
        metrics: &VersionMetrics,
    ) -> Option<Shadowed> {
        let may = self.writes || route.known.as_ref().is_some_and(|tool| tool.hints.says_read_only());
        let tool = may.then(|| self.to.known_tools().tools)??.by_name(&route.tool).cloned()?;
        if !self.share.next() {
            return None;
        }
        let from = Arc::clone(&route.upstream.id);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            metrics.shadow(&from, &self.to.id, ShadowOutcome::LeftOut);
            return None;
        };
        let (to_shadow, answer) = oneshot::channel();
        let copied = Copied {
            from,
            to: Arc::clone(&self.to),
            tool,
            params: outgoing.params.to_text(),
            principal: terms.principal.clone(),
            deadline: terms.deadline,
            answer,
        };
        let (closing, metrics) = (closing.clone(), metrics.clone());
        let in_use = self.to.uses.token();
        tokio::spawn(async move {
            let (from, to) = (Arc::clone(&copied.from), Arc::clone(&copied.to));
            let outcome = closing.run_until_cancelled(Box::pin(copied.run())).await;
            if let Some(outcome) = outcome {
                metrics.shadow(&from, &to.id, outcome);
            }
            drop((place, in_use));
        });
        Some(Shadowed { answer: to_shadow })
    }
}

impl Copied {
    async fn run(self) -> ShadowOutcome {
        let Ok(params) = RawObject::parse_lenient(&self.params) else { return ShadowOutcome::Failed };
        let param_headers = param_headers::of_arguments(&self.tool.param_headers, params.get("arguments"));
        let outgoing =
            Outgoing { name: Some(&self.tool.name), param_headers, ..Outgoing::own("tools/call", params) };
        let terms = Terms {
            principal: &self.principal,
            hints: Some(self.tool.hints),
            deadline: self.deadline,
            fresh: false,
        };
        let ask = async {
            let answered = self.to.call(outgoing, &terms, || {}).await.ok()?;
            match answered.answer {
                Answer::Result(result) => result.whole().await.ok().map(Some),
                Answer::Error(_) => Some(None),
            }
        };
        let theirs = timeout_at(self.deadline, ask).await.ok().flatten();
        let Some(theirs) = theirs else { return ShadowOutcome::Failed };
        let Ok(ours) = self.answer.await else { return ShadowOutcome::Uncompared };
        let same = theirs.is_some_and(|theirs| compare::same(&ours, &theirs));
        if !same {
            tracing::debug!(
                upstream = &*self.from,
                shadow = &*self.to.id,
                tool = self.tool.name,
                "answers differ"
            );
        }
        if same { ShadowOutcome::Same } else { ShadowOutcome::Different }
    }
}
