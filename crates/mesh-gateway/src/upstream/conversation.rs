//! In whose name something is said to an upstream, and whom it may ask in return.

use super::{Answer, Revision};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

/// In whose name something is said, as far as a server with sessions can tell one caller from another. A modern server
/// sees nothing of it.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Requests with the same key may share a session of the upstream.
    pub(crate) key: [u8; 32],
    /// The capabilities with which a session is opened, raw.
    pub(crate) capabilities: Box<str>,
    /// The client's `Implementation`, raw; ours if there is none.
    pub(crate) info: Option<Box<str>>,
    /// Whether requests of several clients' calls may share it, none of which listens for itself.
    pub(crate) shared: bool,
    /// The session to use, where the client's own session names it.
    pub(crate) pinned: Option<Pinned>,
}

/// A session of a target that was opened before, perhaps by another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// Which target of the upstream, by its address.
    pub(crate) target: Box<str>,
    /// `Mcp-Session-Id`.
    pub(crate) session: Box<str>,
    pub(crate) revision: Revision,
}

/// What a server may ask through the gateway.
const BRIDGED: &str = r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}}}"#;

impl Conversation {
    /// The gateway's own: for lists and health checks. It declares what some client of the gateway can do, so that a server lists what it
    /// would show to that one.
    pub(crate) fn own() -> Arc<Self> {
        static OWN: LazyLock<Arc<Conversation>> = LazyLock::new(|| Conversation::of(0, BRIDGED));
        Arc::clone(&OWN)
    }

    /// That of all clients who can be asked nothing.
    pub(crate) fn plain() -> Arc<Self> {
        static PLAIN: LazyLock<Arc<Conversation>> = LazyLock::new(|| Conversation::of(1, "{}"));
        Arc::clone(&PLAIN)
    }

    fn of(key: u8, capabilities: &str) -> Arc<Self> {
        Arc::new(Self {
            key: [key; 32],
            capabilities: capabilities.into(),
            info: None,
            shared: false,
            pinned: None,
        })
    }

    /// Whether it is the gateway's own.
    pub(crate) fn is_own(&self) -> bool {
        self.key == [0; 32]
    }
}

/// What a server says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) revision: Revision,
    /// Its capabilities, raw.
    pub(crate) capabilities: Box<str>,
    /// The rest of its answer to `initialize` or `server/discover`, raw, as an object: `serverInfo`, `instructions`, and what else
    /// it says.
    pub(crate) answer: Bytes,
    /// What names the session, so that another replica can use it; `None` where there is none to name.
    pub(crate) session: Option<Pinned>,
}

/// The client's side of a call, for a server that asks back in the middle of it.
///
/// Contract: asks only what the client declared to be able to answer, and answers everything else with an error object itself. Dropping
/// the future withdraws the question.
#[async_trait::async_trait]
pub(crate) trait Asker: Send + Sync + 'static {
    /// Puts a question (`sampling/createMessage`, `elicitation/create`, `roots/list`) with raw parameters to the client. The answer is
    /// raw: a result or an error object.
    async fn ask(&self, method: &str, params: Option<&str>) -> Answer;
}
