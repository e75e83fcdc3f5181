//! The gateway as its owner sees it: made, started, asked for its health, shut down.

use crate::directory::Directory;
use crate::discovery::{ReloadHandle, ReloadMetrics, ReloadOutcome, Reloaded, UpstreamSet};
use crate::find::Finder;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::server::{OpenQuestions, Parked};
use crate::session::{Memory, Seal};
use crate::settings::{Hosts, Settings};
use crate::upstream::{RegisteredUpstream, Vitals};
use crate::versions::VersionMetrics;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use mesh_core::trace::Tracer;
use mesh_core::{Clock, Shelf};
use mesh_policy::{AuditSink, Authorizer};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use crate::upstream::SetupError;

/// How much longer than a call may take a retired upstream may be used.
const RETIRE_GRACE: Duration = Duration::from_secs(1);

/// What the gateway is wired to.
#[derive(Clone)]
pub struct Wiring {
    /// Where audit records go.
    pub audit: Arc<dyn AuditSink>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where spans go.
    pub tracer: Tracer,
    /// What outlives the process: registered agents, and what is known of tools' definitions.
    pub shelf: Arc<dyn Shelf>,
}

/// The state of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamHealth {
    /// Its id.
    pub id: String,
    /// How many tools of it are known; `None` if it was never listed.
    pub tools: Option<usize>,
    /// Why its tools could not be listed the last time, if so.
    pub failure: Option<String>,
    /// Where its breaker is: `closed`, `open` or `half_open`; `None` if it has none.
    pub breaker: Option<&'static str>,
    /// Its targets, in the order of the configuration.
    pub targets: Vec<TargetHealth>,
}

/// The state of one target of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// Its address, or `process`.
    pub target: String,
    /// Requests under way.
    pub in_flight: u32,
    /// It is ejected for its failures.
    pub ejected: bool,
    /// It is out because its checks fail.
    pub ill: bool,
}

/// The one door to tools and agents.
pub struct Gateway {
    pub(crate) wiring: Wiring,
    pub(crate) metrics: Metrics,
    pub(crate) versions: VersionMetrics,
    pub(crate) reloads: ReloadMetrics,
    pub(crate) directory: Directory,
    pub(crate) finder: Finder,
    /// Seals what clients keep for us.
    pub(crate) seal: Seal,
    pub(crate) sessions: Memory,
    pub(crate) questions: Arc<OpenQuestions>,
    pub(crate) parked: Arc<Parked>,
    /// What the configuration made; replaced as a whole.
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
    /// Cancelled when open calls have had their grace.
    ending: CancellationToken,
    calls: TaskTracker,
    /// Upstreams of earlier plans that are being ended.
    retiring: TaskTracker,
    /// A reload that is under way.
    following: TaskTracker,
    /// How many plans there were.
    plans: watch::Sender<u64>,
}

impl Gateway {
    /// Makes a gateway. Nothing is started or connected yet.
    pub fn new(settings: Settings, wiring: Wiring, registry: &mut Registry) -> Result<Arc<Self>, SetupError> {
        let metrics = Metrics::register(registry);
        let directory = Directory::new(&settings)?;
        let seal = Seal::new(settings.session_key.as_ref().map(|key| key.expose().as_bytes()));
        let plan = Arc::new(ArcSwap::from_pointee(Plan::new(settings)?));
        registry.register_collector(Vitals::of(&plan));
        Ok(Arc::new(Self {
            directory,
            finder: Finder::default(),
            seal,
            sessions: Memory::new(),
            questions: Arc::default(),
            parked: Arc::default(),
            metrics,
            versions: VersionMetrics::register(registry),
            reloads: ReloadMetrics::register(registry),
            plan,
            wiring,
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            calls: TaskTracker::new(),
            retiring: TaskTracker::new(),
            following: TaskTracker::new(),
            plans: watch::Sender::new(1),
        }))
    }

    /// Everything it serves, to be merged into a listener's router.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        crate::server::router(self)
    }

    /// Starts the child processes, and asks every upstream for its tools so that the first client need not wait.
    /// Must be called on a runtime. Does not wait for any upstream: one that is down must not hold the others up.
    pub fn start(self: &Arc<Self>) {
        for upstream in self.plan().upstreams.values() {
            upstream.start();
            let upstream = Arc::clone(upstream);
            let closing = self.closing.clone();
            tokio::spawn(async move { closing.run_until_cancelled(upstream.tools()).await });
        }
        if let Some(every) = self.plan().settings.directory.health_interval {
            let closing = self.closing.clone();
            let looking = crate::directory::look_after(Arc::clone(self), every);
            tokio::spawn(async move { closing.run_until_cancelled(looking).await });
        }
    }

    /// The admin API of the gateway, for a listener that answers the `hosts`.
    pub fn admin_router(self: &Arc<Self>, reload: ReloadHandle, hosts: Hosts) -> axum::Router {
        crate::admin::router(self, reload, hosts)
    }

    /// Takes over other upstreams and toolsets, without a call that fails for it. New upstreams are started first, and asked for their
    /// tools for as long as a list may take; then the plan is replaced; then what is no longer in it is ended after its last call, at the
    /// latest when no call can be open any more. Only one caller at a time: the reloader.
    pub(crate) async fn follow(&self, set: UpstreamSet, reloaded: &mut Reloaded) -> Result<(), SetupError> {
        let _under_way = self.following.token();
        let before = self.plan();
        reloaded.kept = before.upstreams.len();
        if before.settings.upstreams == set.upstreams && before.settings.toolsets == set.toolsets {
            return Ok(());
        }
        let UpstreamSet { upstreams, toolsets } = set;
        let next = before.next(Settings { upstreams, toolsets, ..before.settings.clone() })?;
        let difference = next.difference(&before);
        let new = difference.added.iter().chain(&difference.replaced).filter_map(|id| next.upstreams.get(id));
        let new: Vec<_> = new.cloned().collect();
        for upstream in &new {
            upstream.start();
        }
        let lists = join_all(new.iter().map(|upstream| upstream.tools()));
        let Some(lists) = self.closing.run_until_cancelled(lists).await else {
            join_all(new.iter().map(|upstream| upstream.shutdown(RETIRE_GRACE))).await;
            return Ok(());
        };
        self.plan.store(Arc::new(next));
        self.plans.send_modify(|plans| *plans += 1);

        let grace = before.settings.call_timeout + RETIRE_GRACE;
        for id in difference.replaced.iter().chain(&difference.removed) {
            if let Some(old) = before.upstreams.get(id).cloned() {
                let ending = self.ending.clone();
                self.retiring.spawn(async move { old.retire(grace, &ending).await });
            }
        }
        let names = |ids: Vec<Arc<str>>| ids.iter().map(|id| id.to_string()).collect();
        let late = new.iter().zip(&lists).filter(|(_, list)| list.failure().is_some());
        reloaded.unavailable = late.map(|(upstream, _)| upstream.id.to_string()).collect();
        reloaded.outcome = ReloadOutcome::Changed;
        reloaded.kept = difference.kept;
        reloaded.added = names(difference.added);
        reloaded.replaced = names(difference.replaced);
        reloaded.removed = names(difference.removed);
        Ok(())
    }

    /// What the configuration made, as of now. A request takes it once, and keeps to it.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Cancelled when the gateway ends.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Changes whenever there is another plan: whoever was told of lists may have to be told again.
    pub(crate) fn plans(&self) -> watch::Receiver<u64> {
        self.plans.subscribe()
    }

    /// Whether new calls are taken.
    pub fn ready(&self) -> bool {
        !self.closing.is_cancelled()
    }

    /// What is known of each upstream, without asking it.
    pub fn health(&self) -> Vec<UpstreamHealth> {
        let health = |upstream: &Arc<RegisteredUpstream>| {
            let known = upstream.known_tools();
            UpstreamHealth {
                id: upstream.id.to_string(),
                tools: known.tools.as_ref().map(|tools| tools.iter().count()),
                failure: known.failure().map(ToString::to_string),
                breaker: upstream.breakers.state().map(|(phase, ..)| phase.as_str()),
                targets: upstream.targets.health(),
            }
        };
        self.plan().upstreams.values().map(health).collect()
    }

    /// Takes no new calls, lets open ones finish within half of `grace`, then ends sessions and processes within the
    /// rest, and flushes the audit log. The listener is drained by whoever owns it, before or at the same time.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.closing.cancel();
        self.parked.end();
        self.calls.close();
        if tokio::time::timeout(grace / 2, self.calls.wait()).await.is_err() {
            tracing::warn!(open = self.calls.len(), "calls were still open at the end of their grace period");
        }
        self.ending.cancel();
        let rest = deadline.saturating_duration_since(Instant::now());
        for tracker in [&self.following, &self.retiring] {
            tracker.close();
        }
        // It is quick now: nobody waits for new upstreams any more.
        let _ = tokio::time::timeout(rest, self.following.wait()).await;
        let plan = self.plan();
        let retired = tokio::time::timeout(rest, self.retiring.wait());
        let (_, _) =
            tokio::join!(retired, join_all(plan.upstreams.values().map(|upstream| upstream.shutdown(rest))));
        if let Err(error) = self.wiring.audit.flush().await {
            tracing::error!(%error, "the audit log was not flushed");
        }
    }

    /// The right to have a call open; shutdown waits for it.
    pub(crate) fn admit(&self) -> Result<TaskTrackerToken, Rejection> {
        let token = self.calls.token();
        if self.closing.is_cancelled() { Err(Rejection::Draining) } else { Ok(token) }
    }
}
