//! Which lists of an upstream changed, for any number of listeners.
//!
//! One stream listens to the upstream for all. A change is a counter that grows, so that nobody has to keep up: several changes are one to
//! whoever looks late, and none is missed.

use super::{Announcement, Conversation, Kind, Opened, Upstream, Wanted};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// First and longest pause before an upstream is listened to again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Counters of changes: of tools, prompts, resources (with their templates).
#[derive(Debug)]
pub(crate) struct Heard {
    counts: watch::Sender<[u64; 3]>,
}

/// Whose lists changed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

/// A listener.
#[derive(Debug)]
pub(crate) struct ChangesReceiver {
    counts: watch::Receiver<[u64; 3]>,
    seen: [u64; 3],
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { counts: watch::Sender::new([0; 3]) }
    }

    pub(crate) fn changed(&self, kind: Kind) {
        let at = match kind {
            Kind::Tools => 0,
            Kind::Prompts => 1,
            Kind::Resources | Kind::Templates => 2,
        };
        self.counts.send_modify(|counts| counts[at] += 1);
    }

    pub(crate) fn subscribe(&self) -> ChangesReceiver {
        let counts = self.counts.subscribe();
        let seen = *counts.borrow();
        ChangesReceiver { counts, seen }
    }
}

impl ChangesReceiver {
    /// Waits for a change. Never ends if there is none any more.
    pub(crate) async fn changed(&mut self) -> Changes {
        if self.counts.changed().await.is_err() {
            return std::future::pending().await;
        }
        let now = *self.counts.borrow_and_update();
        let grew = |at: usize| now[at] != self.seen[at];
        let changes = Changes { tools: grew(0), prompts: grew(1), resources: grew(2) };
        self.seen = now;
        changes
    }
}

/// Listens to an upstream, again and again, for as long as it says that its lists may change. `heard` is told everything that was said,
/// and `Resumed` whenever something may have been missed.
pub(crate) async fn listen(id: &str, upstream: Arc<dyn Upstream>, heard: impl Fn(&Announcement)) {
    let own = Conversation::own();
    let mut pause = PAUSE.0;
    let mut first = true;
    loop {
        let wanted = match upstream.open(&own).await {
            Ok(opened) => changing(&opened),
            Err(_) => None,
        };
        if let Some(wanted) = wanted {
            match upstream.listen(&own, wanted).await {
                Ok(mut stream) => {
                    if !std::mem::take(&mut first) {
                        heard(&Announcement::Resumed);
                    }
                    while let Some(announcement) = stream.recv().await {
                        pause = PAUSE.0;
                        heard(&announcement);
                    }
                }
                Err(error) => tracing::debug!(upstream = id, %error, "nothing is heard of it"),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// The lists that may change, by the server's capabilities; `None` if none does.
fn changing(opened: &Opened) -> Option<Wanted> {
    let capabilities: Value = serde_json::from_str(&opened.capabilities).ok()?;
    let may = |name: &str| capabilities[name]["listChanged"] == true;
    let wanted = Wanted {
        tools: may("tools"),
        prompts: may("prompts"),
        resources: may("resources"),
        updated: Vec::new(),
    };
    (wanted != Wanted::default()).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_add_up_until_somebody_looks() {
        let heard = Heard::new();
        heard.changed(Kind::Prompts);
        let mut early = heard.subscribe();
        heard.changed(Kind::Tools);
        heard.changed(Kind::Tools);
        heard.changed(Kind::Templates);
        assert_eq!(early.changed().await, Changes { tools: true, prompts: false, resources: true });
        heard.changed(Kind::Prompts);
        assert_eq!(early.changed().await, Changes { prompts: true, ..Changes::default() });
    }
}
