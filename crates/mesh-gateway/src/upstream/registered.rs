//! A logical upstream: its endpoints, its bounds, and what is known of its tools.

use super::breakers::Breakers;
use super::fetch::{self, ListLimits};
use super::heard::{self, Heard};
use super::keeping::Keeping;
use super::safety::Repeatable;
use super::target::{self, Target};
use super::targets::{Repeats, Targets};
use super::{
    Announcement, Bulkhead, Catalog, ChangesReceiver, HttpUpstream, Kind, Snapshot, StdioUpstream, Upstream,
    UpstreamError,
};
use crate::balance::{self, Balance, Checks, Ejection, Place};
use crate::retry::{Backoff, Budget};
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
    pub(crate) breakers: Breakers,
    pub(crate) targets: Arc<Targets>,
    /// `None` if no answers are kept.
    pub(crate) keeping: Option<Arc<Keeping>>,
    pub(super) repeatable: Repeatable,
    /// The targets, as what they are together.
    whole: Arc<dyn Upstream>,
    /// One of each kind, in the order of [`Kind::ALL`].
    catalogs: [Arc<Catalog>; 4],
    heard: Arc<Heard>,
    checks: Option<Checks>,
    list_limits: ListLimits,
    list_timeout: Duration,
    stop: CancellationToken,
    /// Which of its tools there are, and what the mesh file says about them.
    pub(crate) selection: Arc<mesh_config::Selection>,
    /// Plans that have it, and calls that outlive a request: it ends after them.
    pub(crate) uses: TaskTracker,
}

/// What follows from what an upstream says about its lists.
#[derive(Clone)]
struct Hearing {
    catalogs: [Arc<Catalog>; 4],
    heard: Arc<Heard>,
    keeping: Option<Arc<Keeping>>,
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
        if let Some(keeping) = &self.keeping {
            keeping.heard(announcement);
        }
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
    let hearing = Hearing {
        catalogs: Kind::ALL.map(|_| Arc::new(Catalog::new(settings.list_ttl))),
        heard: Arc::new(Heard::new()),
        keeping: Keeping::new(&config.cache),
    };
    let changed = {
        let hearing = hearing.clone();
        move |announcement: &Announcement| hearing.hear(announcement)
    };
    // What the file says about this upstream, where the code below looks for what holds for all.
    let own = Settings {
        connect_timeout: config.connect_timeout,
        idle_timeout: config.idle_timeout,
        ..settings.clone()
    };
    let setup = Setup { id: &id, settings: &own, changed: Arc::new(changed) };
    let (targets, checks) = setup.targets(config)?;
    let targets = Arc::new(targets);
    Ok(RegisteredUpstream {
        tenant: settings.tenant.clone(),
        timeout: config.timeout,
        bulkhead: Bulkhead::new(config.concurrency, config.queue),
        breakers: Breakers::new(&config.breaker),
        whole: Arc::clone(&targets) as Arc<dyn Upstream>,
        targets,
        keeping: hearing.keeping,
        repeatable: Repeatable {
            tools: config.retries.tools.clone(),
            trust_hints: config.retries.trust_hints,
        },
        catalogs: hearing.catalogs,
        heard: hearing.heard,
        checks,
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

/// Makes the targets of one upstream.
struct Setup<'a> {
    id: &'a Arc<str>,
    settings: &'a Settings,
    changed: Arc<dyn Fn(&Announcement) + Send + Sync>,
}

impl Setup<'_> {
    fn targets(&self, config: &mesh_config::Upstream) -> Result<(Targets, Option<Checks>), SetupError> {
        let one = [mesh_config::Target::new(config.endpoint.clone())];
        let several: &[mesh_config::Target] = match &config.endpoint {
            Endpoint::Several(targets) => targets,
            Endpoint::Process { .. } | Endpoint::Http { .. } => &one,
        };
        let mut targets: Vec<(Target, Place)> = Vec::with_capacity(several.len());
        for target in several {
            let near = target.zone.is_some() && target.zone == self.settings.zone;
            let label = self.label(&target.endpoint, targets.iter().map(|(target, _)| &*target.label));
            let (upstream, address) = self.endpoint(&target.endpoint)?;
            let place = Place { weight: target.weight, near };
            targets.push((Target::new(upstream, &address, label), place));
        }
        let health = &config.health;
        let checks = (targets.len() > 1 && !health.interval.is_zero()).then_some(Checks {
            interval: health.interval,
            timeout: health.timeout,
            threshold: health.threshold,
        });
        let ejection = Ejection {
            failures: health.failures,
            first: health.eject,
            longest: health.longest,
            most: health.most,
            spares_last: true,
        };
        let balance = Balance::new(targets, ejection, health.slow_start, checks.is_some());
        let retries = &config.retries;
        let repeats = Repeats {
            backoff: Backoff { attempts: retries.attempts, first: retries.backoff, longest: retries.longest },
            attempt_timeout: retries.attempt_timeout,
            hedge_after: retries.hedge_after,
            idle: config.idle_timeout,
        };
        Ok((Targets::new(balance, repeats, Budget::new(retries.budget)), checks))
    }

    /// What shows a target in metrics; different from those that are `taken`.
    fn label<'a>(&self, endpoint: &Endpoint, taken: impl Iterator<Item = &'a str> + Clone) -> Arc<str> {
        let plain = match endpoint {
            Endpoint::Http { url, .. } => target::shown(url),
            Endpoint::Process { .. } | Endpoint::Several(_) => "process".to_owned(),
        };
        let is_free = |label: &String| !taken.clone().any(|taken| taken == label);
        let numbered = (2..).map(|number| format!("{plain}#{number}"));
        std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or(plain).into()
    }

    /// One endpoint, and its address.
    fn endpoint(&self, endpoint: &Endpoint) -> Result<(Arc<dyn Upstream>, String), SetupError> {
        let refuse = |why: String| SetupError { id: self.id.to_string(), why };
        match endpoint {
            Endpoint::Process { command, env, cwd } => {
                let spawn = super::stdio::Spawn {
                    upstream: Arc::clone(self.id),
                    launcher: self.settings.launcher.clone(),
                    command: command.clone(),
                    env: env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
                    cwd: cwd.clone(),
                    max_line: self.settings.limits.result,
                };
                Ok((Arc::new(StdioUpstream::new(spawn, Arc::clone(&self.changed))), String::new()))
            }
            Endpoint::Http { url, headers } => {
                let headers = headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
                let upstream = HttpUpstream::new(self.id, url, headers, self.settings).map_err(refuse)?;
                Ok((Arc::new(upstream), url.clone()))
            }
            Endpoint::Several(_) => Err(refuse("a target is one endpoint, not several".to_owned())),
        }
    }
}

impl RegisteredUpstream {
    /// All its targets as one: a request goes to whichever is best, and what belongs to a session where that is.
    pub(crate) fn target(&self) -> &Arc<dyn Upstream> {
        &self.whole
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

    /// Takes note of what it said to one client: answers that are kept may no longer hold.
    pub(crate) fn heard(&self, announcement: &Announcement) {
        if let Some(keeping) = &self.keeping {
            keeping.heard(announcement);
        }
    }

    /// Follows what it says of its lists, for everybody.
    fn listen(&self) {
        let hearing = Hearing {
            catalogs: self.catalogs.clone(),
            heard: Arc::clone(&self.heard),
            keeping: self.keeping.clone(),
        };
        let (id, target, stop) = (Arc::clone(&self.id), Arc::clone(self.target()), self.stop.clone());
        tokio::spawn(async move {
            let listen = heard::listen(&id, target, |announcement| hearing.hear(announcement));
            stop.run_until_cancelled(listen).await
        });
    }

    /// Fetches the list in the background, so that a reader who leaves does not stop it for the others.
    fn refresh(&self, kind: Kind) {
        let (catalog, target, id) =
            (Arc::clone(&self.catalogs[kind as usize]), Arc::clone(&self.whole), Arc::clone(&self.id));
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

    /// Starts its processes, if it has any, and the checks of its targets.
    pub(crate) fn start(&self) {
        self.whole.start();
        self.listen();
        let Some(checks) = self.checks else { return };
        let (balance, stop, id) =
            (Arc::clone(&self.targets.balance), self.stop.clone(), Arc::clone(&self.id));
        let name = move |target: &Target| format!("{id} {}", target.label);
        tokio::spawn(async move {
            let watching =
                balance::watch(balance, checks, name, async |target: &Target| target.check().await);
            stop.run_until_cancelled(watching).await
        });
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
        self.whole.shutdown(grace).await;
    }
}
