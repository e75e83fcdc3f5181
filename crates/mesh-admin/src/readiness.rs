//! Which parts of the process are ready.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What a component is waiting for before it has said anything.
const STARTING: &str = "starting";

/// Collects what the components of a process say about themselves.
///
/// The process is ready when every component is. A component exists from the moment its handle is asked for, and is
/// not ready until it says so: ask for all handles before starting anything, and the process cannot look ready early.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    components: Arc<watch::Sender<BTreeMap<String, Option<String>>>>,
}

/// A component's end of a [`Readiness`]. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct ComponentHandle {
    name: String,
    readiness: Readiness,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every component is ready.
    pub ready: bool,
    /// All components, by name.
    pub components: BTreeMap<String, Component>,
}

/// What a component says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Whether it can do its work.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Readiness {
    /// One without components, which is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle of the component of this name, which is not ready from now on if it is new.
    pub fn component(&self, name: impl Into<String>) -> ComponentHandle {
        let name = name.into();
        self.components.send_if_modified(|components| {
            let before = components.len();
            components.entry(name.clone()).or_insert_with(|| Some(STARTING.to_owned()));
            components.len() > before
        });
        ComponentHandle { name, readiness: self.clone() }
    }

    /// What all components say.
    #[must_use]
    pub fn report(&self) -> Report {
        let components: BTreeMap<String, Component> = self
            .components
            .borrow()
            .iter()
            .map(|(name, reason)| {
                (name.clone(), Component { ready: reason.is_none(), reason: reason.clone() })
            })
            .collect();
        Report { ready: components.values().all(|component| component.ready), components }
    }

    /// Waits until every component is ready.
    pub async fn wait_ready(&self) {
        // Cannot fail: the sender lives in `self`.
        let _ = self.components.subscribe().wait_for(|all| all.values().all(Option::is_none)).await;
    }
}

impl ComponentHandle {
    /// The component can do its work.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// The component cannot do its work. The reason is shown to whoever may read the admin port.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        self.readiness.components.send_if_modified(|components| {
            let before = components.insert(self.name.clone(), reason.clone());
            before != Some(reason)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn the_process_is_ready_when_every_component_is() {
        let readiness = Readiness::new();
        assert!(readiness.report().ready);
        let (log, host) = (readiness.component("log"), readiness.component("host sales"));
        assert_eq!(readiness.report().components["log"].reason.as_deref(), Some("starting"));
        log.set_ready();
        assert!(!readiness.report().ready);
        host.set_ready();
        assert!(readiness.report().ready);
        host.set_not_ready("the worker does not start");
        let report = readiness.report();
        assert_eq!((report.ready, report.components["log"].ready), (false, true));
        assert_eq!(report.components["host sales"].reason.as_deref(), Some("the worker does not start"));
    }

    #[test]
    fn asking_for_a_handle_again_does_not_start_the_component_over() {
        let readiness = Readiness::new();
        readiness.component("log").set_ready();
        let _again = readiness.component("log");
        assert!(readiness.report().ready);
    }

    #[test]
    fn waiting_ends_when_the_last_component_is_ready() {
        let readiness = Readiness::new();
        let handle = readiness.component("log");
        let mut wait = pin!(readiness.wait_ready());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
        handle.set_ready();
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
