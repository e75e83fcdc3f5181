//! Asks the sources, and makes the gateway follow them: one reload after the other.

use super::join::{Sets, choose, join};
use super::{Discovery, Problem, ReloadOutcome, Reloaded};
use crate::gateway::Gateway;
use futures_util::future::{FutureExt as _, pending, select_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Requests for a reload that may wait; more are refused.
const WAITING: usize = 16;

/// Follows the sources for as long as the gateway lives.
pub struct Reloader {
    gateway: Arc<Gateway>,
    sources: Vec<Source>,
    automatic: bool,
    asked: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    last: watch::Sender<Known>,
}

struct Source {
    discovery: Arc<dyn Discovery>,
    in_force: Sets,
}

#[derive(Clone, Default)]
struct Known {
    /// Whether the sources were read at all.
    begun: bool,
    reloaded: Arc<Reloaded>,
    places: Arc<BTreeMap<String, String>>,
}

/// Asks for reloads, and knows what came of the last one.
#[derive(Clone)]
pub struct ReloadHandle {
    ask: mpsc::Sender<oneshot::Sender<Reloaded>>,
    last: watch::Receiver<Known>,
}

impl Reloader {
    /// Reads the sources and follows them in the background: whenever they change if `automatic`, and whenever the handle asks. Sources
    /// come in the order of their precedence. Must be called on a runtime.
    pub fn start(gateway: &Arc<Gateway>, sources: Vec<Arc<dyn Discovery>>, automatic: bool) -> ReloadHandle {
        let (ask, asked) = mpsc::channel(WAITING);
        let (last, known) = watch::channel(Known::default());
        let source = |discovery: Arc<dyn Discovery>| Source { in_force: discovery.begins_with(), discovery };
        let sources = sources.into_iter().map(source).collect();
        let reloader = Self { gateway: Arc::clone(gateway), sources, automatic, asked, last };
        let closing = gateway.closing().clone();
        tokio::spawn(reloader.run(closing));
        ReloadHandle { ask, last: known }
    }

    /// A reload that is under way when the gateway ends is not dropped: what it started must end, too.
    async fn run(mut self, closing: CancellationToken) {
        self.reload().await;
        loop {
            let change = if self.automatic && !self.sources.is_empty() {
                let sources = self.sources.iter().map(|source| Arc::clone(&source.discovery));
                let changes = sources.map(|source| async move { source.changed().await }.boxed());
                select_all(changes).map(|_| ()).boxed()
            } else {
                pending().boxed()
            };
            let asked = tokio::select! {
                () = closing.cancelled() => return,
                asked = self.asked.recv() => asked,
                () = change => None,
            };
            let reloaded = self.reload().await;
            if let Some(asked) = asked {
                // Whoever asked may have left.
                let _ = asked.send(reloaded);
            }
        }
    }

    /// Reads all sources and takes over what they say.
    async fn reload(&mut self) -> Reloaded {
        let mut reloaded = Reloaded::default();
        let mut taken = BTreeMap::new();
        let mut chosen = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let found = match source.discovery.read(&taken).await {
                Ok(found) => {
                    reloaded.needs_restart.extend(found.restart);
                    found.sets
                }
                Err(problem) => {
                    reloaded.problems.push(problem);
                    source.in_force.iter().map(|(name, set)| (name.clone(), Ok(set.clone()))).collect()
                }
            };
            chosen.push(choose(&source.in_force, found, &mut taken, &mut reloaded.problems));
        }
        let joined = join(&chosen, &mut reloaded.problems);
        match self.gateway.follow(joined, &mut reloaded).await {
            Ok(()) => {
                for (source, sets) in self.sources.iter_mut().zip(chosen) {
                    source.in_force = sets;
                }
            }
            Err(error) => {
                reloaded.outcome = ReloadOutcome::Failed;
                let source = taken.get(&error.id).cloned().unwrap_or_else(|| "the configuration".to_owned());
                reloaded.problems.push(Problem { source, message: error.to_string() });
                taken = self.in_force();
            }
        }
        self.tell(&reloaded);
        self.last.send_replace(Known {
            begun: true,
            reloaded: Arc::new(reloaded.clone()),
            places: Arc::new(taken),
        });
        reloaded
    }

    fn in_force(&self) -> BTreeMap<String, String> {
        let sets = self.sources.iter().flat_map(|source| &source.in_force);
        sets.flat_map(|(name, set)| set.names().map(move |id| (id.clone(), name.clone()))).collect()
    }

    fn tell(&self, reloaded: &Reloaded) {
        self.gateway.reloads.done(reloaded, self.gateway.wiring.clock.now());
        for Problem { source, message } in &reloaded.problems {
            tracing::warn!(source, "configuration: {message}");
        }
        if !reloaded.needs_restart.is_empty() {
            let sections = reloaded.needs_restart.join(", ");
            tracing::warn!(sections, "the mesh file changed where only a restart takes it over");
        }
        let Reloaded { outcome, kept, added, replaced, removed, .. } = reloaded;
        match outcome {
            ReloadOutcome::Changed => {
                tracing::info!(kept, ?added, ?replaced, ?removed, "configuration taken over");
            }
            ReloadOutcome::Unchanged => tracing::debug!(kept, "configuration read again, nothing changed"),
            ReloadOutcome::Failed => tracing::warn!("the configuration was not taken over"),
        }
    }
}

impl ReloadHandle {
    /// Reads the sources now, and says what came of it; `None` if the gateway is stopping, or too many wait already.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (done, reloaded) = oneshot::channel();
        self.ask.try_send(done).ok()?;
        reloaded.await.ok()
    }

    /// Waits until the sources were read for the first time, and says what came of it; never, if the gateway stops before.
    pub async fn begun(&self) -> Arc<Reloaded> {
        let mut last = self.last.clone();
        let known = last.wait_for(|known| known.begun).await.map(|known| Arc::clone(&known.reloaded));
        match known {
            Ok(reloaded) => reloaded,
            Err(_) => pending().await,
        }
    }

    /// What came of the last reload.
    pub fn last(&self) -> Arc<Reloaded> {
        Arc::clone(&self.last.borrow().reloaded)
    }

    /// Where upstreams and toolsets come from, by id.
    pub fn places(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.last.borrow().places)
    }
}
