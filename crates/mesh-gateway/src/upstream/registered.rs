//! A logical upstream: its endpoints, its bounds, and what is known of its tools.

use super::fetch::{self, ListLimits};
use super::{Bulkhead, Catalog, HttpUpstream, Snapshot, StdioUpstream, Upstream, UpstreamError};
use crate::settings::Settings;
use mesh_config::Endpoint;
use mesh_core::Tenant;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the process of a retired upstream gets to end by itself.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// One entry of `tools:` in the mesh file. Nothing in it is shared with another upstream.
pub(crate) struct RegisteredUpstream {
    pub(crate) id: Arc<str>,
    pub(crate) tenant: Tenant,
    pub(crate) timeout: Duration,
    pub(crate) bulkhead: Bulkhead,
    catalog: Arc<Catalog>,
    target: Arc<dyn Upstream>,
    list_limits: ListLimits,
    list_timeout: Duration,
    stop: CancellationToken,
    /// Which of its tools there are, and what the mesh file says about them.
    pub(crate) selection: Arc<mesh_config::Selection>,
    /// Plans that have it, and calls that outlive a request: it ends after them.
    pub(crate) uses: TaskTracker,
}

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("upstream `{id}`: {why}")]
pub struct SetupError {
    /// Which.
    pub id: String,
    /// Why.
    pub why: String,
}

/// Sets an upstream up; nothing is started or connected yet.
pub(crate) fn build(
    id: &str,
    config: &mesh_config::Upstream,
    settings: &Settings,
) -> Result<RegisteredUpstream, SetupError> {
    let id: Arc<str> = id.into();
    let catalog = Arc::new(Catalog::new(settings.list_ttl));
    let target: Arc<dyn Upstream> = match &config.endpoint {
        Endpoint::Process { command, env, cwd } => {
            let changed = Arc::clone(&catalog);
            Arc::new(StdioUpstream::new(
                super::stdio::Spawn {
                    upstream: Arc::clone(&id),
                    launcher: settings.launcher.clone(),
                    command: command.clone(),
                    env: env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
                    cwd: cwd.clone(),
                    max_line: settings.limits.result,
                },
                Arc::new(move || changed.invalidate()),
            ))
        }
        Endpoint::Http { url, headers } => {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
            let upstream = HttpUpstream::new(&id, url, headers, settings)
                .map_err(|why| SetupError { id: id.to_string(), why })?;
            Arc::new(upstream)
        }
    };
    Ok(RegisteredUpstream {
        tenant: settings.tenant.clone(),
        timeout: config.timeout,
        bulkhead: Bulkhead::new(config.concurrency, config.queue),
        catalog,
        target,
        list_limits: ListLimits {
            pages: settings.limits.list_pages,
            tools: settings.limits.tools_per_upstream,
            bytes: settings.limits.result,
        },
        list_timeout: settings.list_timeout,
        stop: CancellationToken::new(),
        selection: Arc::new(config.selection.clone()),
        uses: TaskTracker::new(),
        id,
    })
}

impl RegisteredUpstream {
    /// The endpoint for the next call. One, so far; several will be balanced here.
    pub(crate) fn target(&self) -> &Arc<dyn Upstream> {
        &self.target
    }

    /// What is known of its tools, without waiting.
    pub(crate) fn known_tools(&self) -> Snapshot {
        self.catalog.known()
    }

    /// Its tools: current, if that can be had within the list timeout.
    pub(crate) async fn tools(&self) -> Snapshot {
        self.catalog.current(self.list_timeout, || self.refresh()).await
    }

    /// Fetches the list in the background, so that a reader who leaves does not stop it for the others.
    fn refresh(&self) {
        let (catalog, target, id) =
            (Arc::clone(&self.catalog), Arc::clone(&self.target), Arc::clone(&self.id));
        let (limits, timeout) = (self.list_limits, self.list_timeout);
        let (stop, selection) = (self.stop.clone(), Arc::clone(&self.selection));
        tokio::spawn(async move {
            let fetch = async || {
                let fetched = tokio::time::timeout(timeout, fetch::tools(&*target, &id, limits)).await;
                let late = || UpstreamError::unavailable("its list of tools did not arrive in time");
                let fetched = fetched.unwrap_or_else(|_| Err(late()));
                let fetched = fetched.map(|fetched| fetched.selected(&id, &selection));
                match &fetched {
                    Ok(fetched) => {
                        tracing::debug!(upstream = &*id, tools = fetched.tools.iter().count(), "listed");
                    }
                    Err(error) => tracing::warn!(upstream = &*id, %error, "tools cannot be listed"),
                }
                fetched
            };
            stop.run_until_cancelled(catalog.refresh(fetch)).await
        });
    }

    /// Starts its process, if it has one.
    pub(crate) fn start(&self) {
        self.target.start();
    }

    /// Ends it once nobody uses it any more, at the latest after `grace` or when the gateway ends. It must not be in a current plan.
    pub(crate) async fn retire(&self, grace: Duration, ending: &CancellationToken) {
        self.uses.close();
        let idle = ending.run_until_cancelled(timeout(grace, self.uses.wait())).await;
        if matches!(idle, Some(Err(_))) {
            tracing::warn!(upstream = &*self.id, "calls were still open when it was ended");
        }
        self.shutdown(LAST_GRACE).await;
        tracing::info!(upstream = &*self.id, "retired");
    }

    /// Ends it.
    pub(crate) async fn shutdown(&self, grace: Duration) {
        self.stop.cancel();
        self.target.shutdown(grace).await;
    }
}
