//! Agreeing on a revision with a server over HTTP.

use super::exchange::{Exchange, Welcome};
use crate::upstream::outgoing::notification;
use crate::upstream::revision::{Verdict, initialize_message, initialized, judge};
use crate::upstream::{Conversation, Opened, Outgoing, Pinned, Revision, UpstreamError};
use crate::wire::header;
use crate::wire::object::RawObject;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the end of a session may take that nobody waits for.
const END: Duration = Duration::from_secs(5);

/// What was agreed, for every later request.
pub(crate) struct HttpSession {
    pub(super) revision: Revision,
    /// The session of a legacy server that has sessions.
    pub(super) id: Option<HeaderValue>,
    /// What the server said about itself; empty if that is not known.
    described: Bytes,
    /// It was given into the hands of a client, whose session ends it.
    lent: AtomicBool,
    /// Somebody listens for questions that come outside of a call's stream.
    pub(super) listened: tokio::sync::OnceCell<()>,
    exchange: Weak<Exchange>,
}

impl HttpSession {
    /// A server without sessions.
    pub(super) fn modern() -> Self {
        Self::with(Revision::Modern, None, Bytes::new(), Weak::new())
    }

    fn with(revision: Revision, id: Option<HeaderValue>, described: Bytes, exchange: Weak<Exchange>) -> Self {
        Self {
            revision,
            id,
            described,
            lent: AtomicBool::new(false),
            listened: tokio::sync::OnceCell::new(),
            exchange,
        }
    }

    /// The session that a client's session names.
    pub(super) fn pinned(pinned: &Pinned) -> Result<Self, UpstreamError> {
        let id = HeaderValue::from_str(&pinned.session).map_err(|_| UpstreamError::SessionLost)?;
        Ok(Self::with(pinned.revision.clone(), Some(id), Bytes::new(), Weak::new()))
    }

    /// The headers that say which session it is.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let version = match &self.revision {
            Revision::Modern => Ok(HeaderValue::from_static(crate::wire::MODERN_VERSION)),
            Revision::Legacy(version) => HeaderValue::from_str(version),
        };
        if let Ok(version) = version {
            headers.insert(header::PROTOCOL_VERSION, version);
        }
        if let Some(id) = &self.id {
            headers.insert(header::SESSION_ID, id.clone());
        }
    }

    /// Whether its end is a client's affair.
    pub(super) fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed)
    }

    /// What the server said about itself, and what names the session at `target`. From now on it is the client's.
    pub(super) fn lend(&self, target: &str, to_client: bool) -> Result<Opened, UpstreamError> {
        let session = self.id.as_ref().and_then(|id| id.to_str().ok()).map(|id| Pinned {
            target: target.into(),
            session: id.into(),
            revision: self.revision.clone(),
        });
        if to_client {
            self.lent.store(true, Ordering::Relaxed);
        }
        crate::upstream::revision::describe(&self.revision, &self.described, session)
    }
}

impl crate::upstream::sessions::Session for HttpSession {
    fn end(self: Arc<Self>) {
        let Some(exchange) = self.exchange.upgrade() else { return };
        if self.id.is_none() || self.is_lent() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // A server that cannot be told will find out by itself.
                let _ = tokio::time::timeout(END, exchange.delete(&self)).await;
            });
        }
    }
}

/// What kind of server it is.
#[derive(Clone)]
pub(super) enum Generation {
    Modern(Arc<HttpSession>),
    Legacy,
}

/// `server/discover`, whose answer tells.
pub(super) async fn discover(exchange: &Arc<Exchange>, id: u64) -> Result<Generation, UpstreamError> {
    let modern = Arc::new(HttpSession::modern());
    let request = Outgoing::own("server/discover", RawObject::default());
    let body = request.encode(id, &Revision::Modern);
    let Some(answer) = exchange.probe(&modern, &request, id, body).await? else {
        return Ok(Generation::Legacy);
    };
    match judge(&answer) {
        Verdict::Modern => {
            tracing::info!(upstream = &*exchange.upstream, revision = modern.revision.version(), "up");
            let described = crate::upstream::revision::description(answer)?;
            let session = HttpSession::with(Revision::Modern, None, described, Weak::new());
            Ok(Generation::Modern(Arc::new(session)))
        }
        Verdict::Foreign(versions) => {
            Err(UpstreamError::bad_answer(format!("it speaks only protocol versions {versions}")))
        }
        Verdict::Legacy => Ok(Generation::Legacy),
    }
}

/// What became of `initialize`.
pub(super) enum Initialized {
    Session(Arc<HttpSession>),
    /// Not a server of this transport.
    Stranger(StatusCode),
}

/// `initialize` in a conversation's name.
pub(super) async fn initialize(
    exchange: &Arc<Exchange>,
    id: u64,
    conversation: &Conversation,
) -> Result<Initialized, UpstreamError> {
    let body = initialize_message(id, conversation);
    let (answer, session_id) = match exchange.initialize(id, body).await? {
        Welcome::Answer(answer, session_id) => (answer, session_id),
        Welcome::Stranger(status) => return Ok(Initialized::Stranger(status)),
    };
    let revision = initialized(&answer)?;
    let described = crate::upstream::revision::description(answer)?;
    let session = HttpSession::with(revision, session_id, described, Arc::downgrade(exchange));
    exchange.tell(&session, notification("notifications/initialized", "")).await?;
    tracing::info!(upstream = &*exchange.upstream, revision = session.revision.version(), "up");
    Ok(Initialized::Session(Arc::new(session)))
}
