//! The tools of one upstream, as last heard.

use super::Kind;
use super::param_headers::{self, ParamHeader};
use super::safety::ToolHints;
use crate::wire::object::{RawObject, as_str};
use crate::wire::string;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often an upstream is asked at most, however short it wants its list to be kept.
const SHORTEST: Duration = Duration::from_secs(1);
/// First and longest pause between two attempts to reach an upstream that fails.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// One tool, or prompt, resource, template: its definition as the upstream wrote it, and the same under its federated name. A resource's
/// name is its URI.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) federated: String,
    pub(crate) definition: Box<str>,
    pub(crate) federated_definition: Box<str>,
    pub(crate) param_headers: Vec<ParamHeader>,
    pub(crate) hints: ToolHints,
}

impl Tool {
    /// Reads a definition; `None` if it has no name.
    fn read(kind: Kind, upstream: &str, definition: &str) -> Option<Self> {
        let mut object = RawObject::parse_lenient(definition).ok()?;
        let name = as_str(object.get(kind.key())?)?.into_owned();
        let param_headers = object.get("inputSchema").map(param_headers::of_schema).unwrap_or_default();
        let hints = ToolHints::of(object.get("annotations"));
        let federated = kind.federated(upstream, &name);
        object.set(kind.key(), string(&federated));
        let federated_definition = object.to_text().into();
        Some(Self {
            name,
            federated,
            definition: definition.into(),
            federated_definition,
            param_headers,
            hints,
        })
    }
}

/// All tools of an upstream, in its own order.
#[derive(Debug, Default)]
pub(crate) struct ToolSet {
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<String, Arc<Tool>>,
    by_federated: HashMap<String, Arc<Tool>>,
}

impl ToolSet {
    /// Reads definitions of tools. One that has no name, or whose name is taken, is left out and logged.
    pub(crate) fn read<'a>(upstream: &str, definitions: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(Kind::Tools, upstream, definitions)
    }

    /// The same for any kind.
    pub(crate) fn of<'a>(kind: Kind, upstream: &str, definitions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for definition in definitions {
            let Some(tool) = Tool::read(kind, upstream, definition).map(Arc::new) else {
                tracing::warn!(upstream, list = kind.member(), "what has no name is left out of a list");
                continue;
            };
            if set.by_name.contains_key(&tool.name) || set.by_federated.contains_key(&tool.federated) {
                tracing::warn!(
                    upstream,
                    list = kind.member(),
                    name = tool.name,
                    "a name occurs twice; the second is left out"
                );
                continue;
            }
            set.by_name.insert(tool.name.clone(), Arc::clone(&tool));
            set.by_federated.insert(tool.federated.clone(), Arc::clone(&tool));
            set.tools.push(tool);
        }
        set
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter().map(|tool| &**tool)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Tool>> {
        self.by_name.get(name)
    }

    pub(crate) fn by_federated(&self, name: &str) -> Option<&Arc<Tool>> {
        self.by_federated.get(name)
    }
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The last list that arrived whole; `None` if none ever did.
    pub(crate) tools: Option<Arc<ToolSet>>,
    /// Until when it counts as current.
    fresh_until: Option<Instant>,
    /// How long the upstream allows others to keep it.
    pub(crate) ttl: Duration,
    /// Why the last attempt failed.
    failed: Option<super::UpstreamError>,
    attempts: u64,
}

impl Snapshot {
    /// The upstream did not answer when it was last asked.
    pub(crate) fn failure(&self) -> Option<&super::UpstreamError> {
        self.failed.as_ref()
    }
}

/// A list that arrived.
pub(crate) struct Fetched {
    pub(crate) tools: ToolSet,
    pub(crate) ttl: Option<Duration>,
}

impl Fetched {
    /// The tools that the mesh file lets be, with what it says about them.
    pub(crate) fn selected(self, upstream: &str, selection: &mesh_config::Selection) -> Self {
        Self { tools: crate::selection::select(upstream, self.tools, selection), ..self }
    }
}

/// The cache of one upstream's tools.
///
/// One refresh at a time. Who needs a list that is not current waits for it, for a bounded time. Nobody waits for an
/// upstream that failed when it was last asked: its last known list is served at once, while the refresh goes on trying.
#[derive(Debug)]
pub(crate) struct Catalog {
    snapshot: watch::Sender<Snapshot>,
    refresh: Mutex<Refresh>,
    /// Wakes a refresh that pauses between two attempts.
    wake: Notify,
    /// How long a list counts as current when the upstream says nothing.
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Refresh {
    running: bool,
    /// The list changed while it was being fetched.
    again: bool,
}

impl Catalog {
    pub(crate) fn new(ttl: Duration) -> Self {
        let empty =
            Snapshot { tools: None, fresh_until: None, ttl: Duration::ZERO, failed: None, attempts: 0 };
        Self { snapshot: watch::Sender::new(empty), refresh: Mutex::default(), wake: Notify::new(), ttl }
    }

    /// What is known, without waiting.
    pub(crate) fn known(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// The upstream says that its list changed, or it was started again: the next reader waits for the new list.
    pub(crate) fn invalidate(&self) {
        self.lock().again = true;
        self.snapshot.send_if_modified(|snapshot| {
            snapshot.fresh_until = None;
            snapshot.failed = None;
            false
        });
        self.wake.notify_waiters();
    }

    /// The list, refreshed first if it is not current. `spawn` starts [`Catalog::refresh`] in the background.
    pub(crate) async fn current(&self, wait: Duration, spawn: impl FnOnce()) -> Snapshot {
        let snapshot = self.known();
        if snapshot.fresh_until.is_some_and(|until| Instant::now() < until) {
            return snapshot;
        }
        let mut changes = self.snapshot.subscribe();
        if self.begin() {
            spawn();
        }
        if snapshot.failed.is_some() {
            return snapshot;
        }
        let seen = snapshot.attempts;
        let settled = changes.wait_for(|snapshot| snapshot.attempts > seen);
        if let Ok(Ok(settled)) = tokio::time::timeout(wait, settled).await {
            return settled.clone();
        }
        let late = || super::UpstreamError::unavailable("its list of tools did not arrive in time");
        let mut snapshot = self.known();
        snapshot.failed.get_or_insert_with(late);
        snapshot
    }

    /// Fetches the list; as long as that fails, again after a pause that grows.
    pub(crate) async fn refresh<F>(&self, fetch: impl Fn() -> F)
    where
        F: Future<Output = Result<Fetched, super::UpstreamError>>,
    {
        let mut pause = PAUSE.0;
        while !self.settle(fetch().await) {
            let woken = self.wake.notified();
            // Either way it is time for the next attempt.
            let _ = tokio::time::timeout(pause, woken).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn begin(&self) -> bool {
        let mut refresh = self.lock();
        if refresh.running {
            return false;
        }
        *refresh = Refresh { running: true, again: false };
        true
    }

    /// Takes the outcome of an attempt. Returns whether the refresh is over.
    fn settle(&self, fetched: Result<Fetched, super::UpstreamError>) -> bool {
        let over = fetched.is_ok();
        let changed = {
            let mut refresh = self.lock();
            refresh.running = !over;
            std::mem::take(&mut refresh.again)
        };
        let now = Instant::now();
        self.snapshot.send_modify(|snapshot| {
            snapshot.attempts += 1;
            match fetched {
                Ok(fetched) => {
                    snapshot.tools = Some(Arc::new(fetched.tools));
                    let ttl = fetched.ttl.map_or(self.ttl, |ttl| ttl.max(SHORTEST).min(self.ttl));
                    snapshot.fresh_until = (!changed).then(|| now + ttl);
                    snapshot.ttl = fetched.ttl.unwrap_or_default();
                    snapshot.failed = None;
                }
                Err(error) => {
                    snapshot.fresh_until = None;
                    snapshot.failed = Some(error);
                }
            }
        });
        over
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Refresh> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamError;
    use std::collections::VecDeque;

    fn tools(names: &[&str]) -> Fetched {
        let definitions: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        let tools = ToolSet::read("crm", definitions.iter().map(String::as_str));
        Fetched { tools, ttl: None }
    }

    fn catalog() -> Arc<Catalog> {
        Arc::new(Catalog::new(Duration::from_secs(60)))
    }

    const WAIT: Duration = Duration::from_secs(5);

    /// Reads, with a refresh in the background that gets these outcomes, one after the other.
    async fn read(catalog: &Arc<Catalog>, outcomes: Vec<Result<Fetched, UpstreamError>>) -> Snapshot {
        let background = Arc::clone(catalog);
        let spawn = move || {
            let outcomes = Mutex::new(VecDeque::from(outcomes));
            let next = move || {
                let outcome = outcomes.lock().unwrap().pop_front();
                async { outcome.expect("asked more often than expected") }
            };
            tokio::spawn(async move { background.refresh(next).await });
        };
        catalog.current(WAIT, spawn).await
    }

    fn down() -> Result<Fetched, UpstreamError> {
        Err(UpstreamError::unavailable("down"))
    }

    #[test]
    fn only_the_name_of_a_definition_changes() {
        let set = ToolSet::read(
            "crm",
            [r#"{"x":1.0,"name":"a.b","execution":{"t" :1}}"#, r#"{"title":"no name"}"#, r#"{"name":"a.b"}"#],
        );
        let tools: Vec<_> = set.iter().collect();
        assert_eq!(tools.len(), 1);
        let expected = format!(r#"{{"x":1.0,"name":"{}","execution":{{"t" :1}}}}"#, tools[0].federated);
        assert_eq!(*tools[0].federated_definition, *expected);
        assert_eq!(set.by_federated(&tools[0].federated).unwrap().name, "a.b");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_known_list_outlives_a_failure_and_comes_back_by_itself() {
        let catalog = catalog();
        assert!(read(&catalog, vec![Ok(tools(&["a"]))]).await.failure().is_none());
        tokio::time::advance(Duration::from_secs(61)).await;
        let failed = read(&catalog, vec![down(), down(), Ok(tools(&["b"]))]).await;
        assert!(failed.failure().is_some() && failed.tools.unwrap().by_name("a").is_some());
        let started = Instant::now();
        assert!(read(&catalog, Vec::new()).await.failure().is_some());
        assert_eq!(started.elapsed(), Duration::ZERO, "nobody waits for an upstream that is down");
        let mut changes = catalog.snapshot.subscribe();
        let back = changes.wait_for(|snapshot| snapshot.failure().is_none()).await.unwrap().clone();
        assert!(back.tools.unwrap().by_name("b").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_hangs_delays_a_reader_for_a_bounded_time_and_is_not_started_twice() {
        let catalog = catalog();
        let started = Instant::now();
        let first = catalog.current(WAIT, || {}).await;
        assert!(first.failure().is_some() && started.elapsed() == WAIT);
        catalog.current(WAIT, || panic!("two refreshes at once")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_refresh_makes_its_result_stale() {
        let catalog = catalog();
        let spawn = || {
            catalog.invalidate();
            catalog.settle(Ok(tools(&["old"])));
        };
        catalog.current(WAIT, spawn).await;
        let next = read(&catalog, vec![Ok(tools(&["new"]))]).await;
        assert!(next.tools.unwrap().by_name("new").is_some());
    }
}
