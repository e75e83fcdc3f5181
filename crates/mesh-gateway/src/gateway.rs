//! The gateway as its owner sees it: made, started, asked for its health, shut down.

use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::settings::Settings;
use crate::upstream::{RegisteredUpstream, Vitals};
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use mesh_core::trace::Tracer;
use mesh_core::{Clock, Shelf};
use mesh_policy::{AuditSink, Authorizer};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use crate::upstream::SetupError;

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
    pub(crate) directory: Directory,
    /// What the configuration made; replaced as a whole.
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
    calls: TaskTracker,
}

impl Gateway {
    /// Makes a gateway. Nothing is started or connected yet.
    pub fn new(settings: Settings, wiring: Wiring, registry: &mut Registry) -> Result<Arc<Self>, SetupError> {
        let metrics = Metrics::register(registry);
        let directory = Directory::new(&settings)?;
        let plan = Arc::new(ArcSwap::from_pointee(Plan::new(settings)?));
        registry.register_collector(Vitals::of(&plan));
        Ok(Arc::new(Self {
            directory,
            metrics,
            plan,
            wiring,
            closing: CancellationToken::new(),
            calls: TaskTracker::new(),
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
    }

    /// What the configuration made, as of now. A request takes it once, and keeps to it.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
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
        self.calls.close();
        if tokio::time::timeout(grace / 2, self.calls.wait()).await.is_err() {
            tracing::warn!(open = self.calls.len(), "calls were still open at the end of their grace period");
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        let plan = self.plan();
        join_all(plan.upstreams.values().map(|upstream| upstream.shutdown(rest))).await;
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
