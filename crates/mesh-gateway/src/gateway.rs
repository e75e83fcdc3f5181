//! The gateway as its owner sees it: made, started, asked for its health, shut down.

use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::settings::Settings;
use crate::upstream::RegisteredUpstream;
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
}

/// The one door to tools and agents.
pub struct Gateway {
    pub(crate) wiring: Wiring,
    pub(crate) metrics: Metrics,
    pub(crate) directory: Directory,
    /// What the configuration made; replaced as a whole.
    plan: ArcSwap<Plan>,
    closing: CancellationToken,
    calls: TaskTracker,
}

impl Gateway {
    /// Makes a gateway. Nothing is started or connected yet.
    pub fn new(settings: Settings, wiring: Wiring, registry: &mut Registry) -> Result<Arc<Self>, SetupError> {
        Ok(Arc::new(Self {
            directory: Directory::new(&settings)?,
            metrics: Metrics::register(registry),
            plan: ArcSwap::from_pointee(Plan::new(settings)?),
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
        if let Some(every) = self.plan().settings.directory.health_interval {
            let closing = self.closing.clone();
            let looking = crate::directory::look_after(Arc::clone(self), every);
            tokio::spawn(async move { closing.run_until_cancelled(looking).await });
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
