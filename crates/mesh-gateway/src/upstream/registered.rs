//! A logical upstream: its endpoints, its bounds, and what is known of its tools.

use super::fetch::{self, ListLimits};
use super::heard::{self, Heard};
use super::{
    Announcement, Bulkhead, Catalog, ChangesReceiver, HttpUpstream, Kind, Snapshot, StdioUpstream, Upstream,
    UpstreamError,
};
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
    /// One of each kind, in the order of [`Kind::ALL`].
    catalogs: [Arc<Catalog>; 4],
    target: Arc<dyn Upstream>,
    heard: Arc<Heard>,
    list_limits: ListLimits,
    list_timeout: Duration,
    stop: CancellationToken,
    /// Which of its tools there are, and what the mesh file says about them.
    pub(crate) selection: Arc<mesh_config::Selection>,
    /// Plans that have it, and calls that outlive a request: it ends after them.
    pub(crate) uses: TaskTracker,
}

/// What follows from what an upstream says about its lists.
struct Hearing {
    catalogs: [Arc<Catalog>; 4],
    heard: Arc<Heard>,
}

impl Hearing {
    fn hear(&self, announcement: &Announcement) {
        let kinds: &[Kind] = match announcement {
            Announcement::Tools => &[Kind::Tools],
            Announcement::Prompts => &[Kind::Prompts],
            Announcement::Resources => &[Kind::Resources, Kind::Templates],
            Announcement::Resumed => &Kind::ALL,
            Announcement::Updated { .. } | Announcement::Other { .. } => &[],
        };
        for kind in kinds {
            self.catalogs[*kind as usize].invalidate();
            self.heard.changed(*kind);
        }
    }
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
    let heard = Arc::new(Heard::new());
    let catalogs = Kind::ALL.map(|_| Arc::new(Catalog::new(settings.list_ttl)));
    let target: Arc<dyn Upstream> = match &config.endpoint {
        Endpoint::Process { command, env, cwd } => {
            let changed = Hearing { catalogs: catalogs.clone(), heard: Arc::clone(&heard) };
            Arc::new(StdioUpstream::new(
                super::stdio::Spawn {
                    upstream: Arc::clone(&id),
                    launcher: settings.launcher.clone(),
                    command: command.clone(),
                    env: env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
                    cwd: cwd.clone(),
                    max_line: settings.limits.result,
                },
                Arc::new(move |announcement| changed.hear(announcement)),
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
        catalogs,
        heard,
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
        self.known(Kind::Tools)
    }

    /// Its tools: current, if that can be had within the list timeout.
    pub(crate) async fn tools(&self) -> Snapshot {
        self.list(Kind::Tools).await
    }

    /// What is known of a list, without waiting.
    pub(crate) fn known(&self, kind: Kind) -> Snapshot {
        self.catalogs[kind as usize].known()
    }

    /// A list: current, if that can be had within the list timeout.
    pub(crate) async fn list(&self, kind: Kind) -> Snapshot {
        self.catalogs[kind as usize].current(self.list_timeout, || self.refresh(kind)).await
    }

    /// Tells from now on which of its lists changed.
    pub(crate) fn changes(&self) -> ChangesReceiver {
        self.heard.subscribe()
    }

    /// Follows what it says of its lists, for everybody.
    fn listen(&self) {
        let hearing = Hearing { catalogs: self.catalogs.clone(), heard: Arc::clone(&self.heard) };
        let (id, target, stop) = (Arc::clone(&self.id), Arc::clone(self.target()), self.stop.clone());
        tokio::spawn(async move {
            let listen = heard::listen(&id, target, |announcement| hearing.hear(announcement));
            stop.run_until_cancelled(listen).await
        });
    }

    /// Fetches the list in the background, so that a reader who leaves does not stop it for the others.
    fn refresh(&self, kind: Kind) {
        let (catalog, target, id) =
            (Arc::clone(&self.catalogs[kind as usize]), Arc::clone(&self.target), Arc::clone(&self.id));
        let (limits, timeout) = (self.list_limits, self.list_timeout);
        let (stop, selection) = (self.stop.clone(), Arc::clone(&self.selection));
        tokio::spawn(async move {
            let fetch = async || {
                let fetched = tokio::time::timeout(timeout, fetch::list(&*target, &id, kind, limits)).await;
                let late =
                    || UpstreamError::unavailable(format!("its {} did not arrive in time", kind.method()));
                let fetched = fetched.unwrap_or_else(|_| Err(late()));
                let fetched = fetched.map(|fetched| match kind {
                    Kind::Tools => fetched.selected(&id, &selection),
                    _ => fetched,
                });
                match &fetched {
                    Ok(fetched) => {
                        let entries = fetched.tools.iter().count();
                        tracing::debug!(upstream = &*id, entries, list = kind.member(), "listed");
                    }
                    Err(error) => {
                        tracing::warn!(upstream = &*id, list = kind.member(), %error, "cannot be listed");
                    }
                }
                fetched
            };
            stop.run_until_cancelled(catalog.refresh(fetch)).await
        });
    }

    /// Starts its process, if it has one.
    pub(crate) fn start(&self) {
        self.target.start();
        self.listen();
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
