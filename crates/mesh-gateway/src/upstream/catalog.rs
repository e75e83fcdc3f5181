//! The tools of one upstream, as last heard.

use super::param_headers::{self, ParamHeader};
use crate::names;
use crate::wire::object::{RawObject, as_str};
use crate::wire::string;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// One tool: its definition as the upstream wrote it, and the same under its federated name.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) federated: String,
    pub(crate) definition: Box<str>,
    pub(crate) federated_definition: Box<str>,
    pub(crate) param_headers: Vec<ParamHeader>,
}

impl Tool {
    /// Reads a definition; `None` if it has no name.
    fn read(upstream: &str, definition: &str) -> Option<Self> {
        let mut object = RawObject::parse_lenient(definition).ok()?;
        let name = as_str(object.get("name")?)?.into_owned();
        let param_headers = object.get("inputSchema").map(param_headers::of_schema).unwrap_or_default();
        let federated = names::federated(upstream, &name);
        object.set("name", string(&federated));
        let federated_definition = object.to_text().into();
        Some(Self { name, federated, definition: definition.into(), federated_definition, param_headers })
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
    /// Reads definitions. One that has no name, or whose name is taken, is left out and logged.
    pub(crate) fn read<'a>(upstream: &str, definitions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for definition in definitions {
            let Some(tool) = Tool::read(upstream, definition).map(Arc::new) else {
                tracing::warn!(upstream, "a tool without a name is left out");
                continue;
            };
            if set.by_name.contains_key(&tool.name) || set.by_federated.contains_key(&tool.federated) {
                tracing::warn!(upstream, tool = tool.name, "a tool whose name is taken is left out");
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
    /// Why the last attempt failed, and when the next one may be made.
    failed: Option<(super::UpstreamError, Instant)>,
    attempts: u64,
}

impl Snapshot {
    /// The upstream did not answer when it was last asked.
    pub(crate) fn failure(&self) -> Option<&super::UpstreamError> {
        self.failed.as_ref().map(|(error, _)| error)
    }
}

/// A list that arrived.
pub(crate) struct Fetched {
    pub(crate) tools: ToolSet,
    pub(crate) ttl: Option<Duration>,
}

/// The cache of one upstream's tools. One refresh at a time; who needs the list waits for it, for a bounded time, and
/// otherwise takes the last known one.
#[derive(Debug)]
pub(crate) struct Catalog {
    snapshot: watch::Sender<Snapshot>,
    refresh: Mutex<Refresh>,
    /// How long a list counts as current when the upstream says nothing.
    ttl: Duration,
    /// How long after a failure the upstream is not asked again.
    pause: Duration,
}

#[derive(Debug, Default)]
struct Refresh {
    running: bool,
    /// The list changed while it was being fetched.
    again: bool,
}

impl Catalog {
    pub(crate) fn new(ttl: Duration, pause: Duration) -> Self {
        let empty =
            Snapshot { tools: None, fresh_until: None, ttl: Duration::ZERO, failed: None, attempts: 0 };
        Self { snapshot: watch::Sender::new(empty), refresh: Mutex::default(), ttl, pause }
    }

    /// What is known, without waiting.
    pub(crate) fn known(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// The upstream says that its list changed: the next reader waits for the new one.
    pub(crate) fn invalidate(&self) {
        self.lock().again = true;
        self.snapshot.send_if_modified(|snapshot| {
            snapshot.fresh_until = None;
            snapshot.failed = None;
            false
        });
    }

    /// The list, refreshed first if it is not current. `spawn` starts a refresh, which must end in `settle`.
    pub(crate) async fn current(&self, wait: Duration, spawn: impl FnOnce()) -> Snapshot {
        let now = Instant::now();
        let snapshot = self.known();
        if snapshot.fresh_until.is_some_and(|until| now < until)
            || snapshot.failed.as_ref().is_some_and(|(_, retry_at)| now < *retry_at)
        {
            return snapshot;
        }
        let mut changes = self.snapshot.subscribe();
        if self.begin() {
            spawn();
        }
        let seen = snapshot.attempts;
        let settled = changes.wait_for(|snapshot| snapshot.attempts > seen);
        match tokio::time::timeout(wait, settled).await {
            Ok(Ok(settled)) => settled.clone(),
            _ => {
                let mut snapshot = self.known();
                if snapshot.failed.is_none() {
                    let error = super::UpstreamError::unavailable("its list of tools did not arrive in time");
                    snapshot.failed = Some((error, now));
                }
                snapshot
            }
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

    /// Ends a refresh. Returns whether the list has changed meanwhile.
    pub(crate) fn settle(&self, fetched: Result<Fetched, super::UpstreamError>) {
        let changed = {
            let mut refresh = self.lock();
            refresh.running = false;
            refresh.again
        };
        let now = Instant::now();
        self.snapshot.send_modify(|snapshot| {
            snapshot.attempts += 1;
            match fetched {
                Ok(fetched) => {
                    snapshot.tools = Some(Arc::new(fetched.tools));
                    let ttl = fetched.ttl.map_or(self.ttl, |ttl| ttl.clamp(Duration::from_secs(1), self.ttl));
                    snapshot.fresh_until = (!changed).then(|| now + ttl);
                    snapshot.ttl = fetched.ttl.unwrap_or_default();
                    snapshot.failed = None;
                }
                Err(error) => {
                    snapshot.fresh_until = None;
                    snapshot.failed = Some((error, now + self.pause));
                }
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Refresh> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamError;

    fn tools(names: &[&str]) -> Fetched {
        let definitions: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        let tools = ToolSet::read("crm", definitions.iter().map(String::as_str));
        Fetched { tools, ttl: None }
    }

    fn catalog() -> Catalog {
        Catalog::new(Duration::from_secs(60), Duration::from_secs(1))
    }

    const WAIT: Duration = Duration::from_secs(5);

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
    async fn the_last_known_list_outlives_a_failure_and_the_failure_is_not_repeated_at_once() {
        let catalog = catalog();
        let first = catalog.current(WAIT, || catalog.settle(Ok(tools(&["a"])))).await;
        assert!(first.failure().is_none());
        tokio::time::advance(Duration::from_secs(61)).await;
        let down = catalog.current(WAIT, || catalog.settle(Err(UpstreamError::unavailable("down")))).await;
        assert!(down.failure().is_some() && down.tools.unwrap().by_name("a").is_some());
        catalog.current(WAIT, || panic!("asked again at once")).await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let up = catalog.current(WAIT, || catalog.settle(Ok(tools(&["b"])))).await;
        assert!(up.failure().is_none() && up.tools.unwrap().by_name("b").is_some());
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
        catalog
            .current(WAIT, || {
                catalog.invalidate();
                catalog.settle(Ok(tools(&["old"])));
            })
            .await;
        let next = catalog.current(WAIT, || catalog.settle(Ok(tools(&["new"])))).await;
        assert!(next.tools.unwrap().by_name("new").is_some());
    }
}
