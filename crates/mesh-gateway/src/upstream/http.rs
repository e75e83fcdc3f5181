//! An MCP server that speaks Streamable HTTP, of either generation.

mod answer;
mod exchange;
mod link;
mod listen;
mod pieces;
mod session;
mod socket;

use self::exchange::{Exchange, Reply};
use self::listen::Listener;
use self::session::{Generation, HttpSession, Initialized};
use super::outgoing::notification;
use super::questions::Askers;
use super::sessions::{Place, Sessions};
use super::{
    Announcement, Answer, Answered, Conversation, Opened, Outgoing, Upstream, UpstreamError, Wanted,
};
use crate::settings::Settings;
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, mpsc};

/// How often somebody looks whether a session that is listened to is still kept.
const LOOK: Duration = Duration::from_secs(30);
/// Cancellations that may be on their way to one upstream at the same time; more are left out.
const CANCELLATIONS: usize = 16;
/// Sessions that are ended at the same time when the upstream is shut down.
const ENDINGS: usize = 16;

/// The upstream: a pool of connections, and the sessions that its generation needs.
pub(crate) struct HttpUpstream {
    exchange: Arc<Exchange>,
    /// Replaced as a whole when the server has changed its generation.
    generation: Mutex<Arc<OnceCell<Generation>>>,
    sessions: Sessions<HttpSession>,
    askers: Arc<Askers>,
    next_id: AtomicU64,
    cancellations: Arc<Semaphore>,
}

/// The session of a request.
struct InSession {
    session: Arc<HttpSession>,
    /// Where it is kept, unless a client's session names it or the server has none.
    place: Option<Place<HttpSession>>,
    generation: Option<Arc<OnceCell<Generation>>>,
}

impl HttpUpstream {
    pub(crate) fn new<'a>(
        id: &Arc<str>,
        url: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        settings: &Settings,
    ) -> Result<Self, String> {
        let exchange = Exchange::new(Arc::clone(id), url, headers, settings)?;
        Ok(Self {
            exchange: Arc::new(exchange),
            generation: Mutex::default(),
            sessions: Sessions::new(settings.limits.sessions, settings.session_idle),
            askers: Arc::default(),
            next_id: AtomicU64::new(1),
            cancellations: Arc::new(Semaphore::new(CANCELLATIONS)),
        })
    }

    /// The session in which a conversation speaks.
    async fn session(&self, conversation: &Conversation) -> Result<InSession, UpstreamError> {
        if let Some(pinned) = &conversation.pinned {
            if *pinned.target != *self.exchange.address().text() {
                return Err(UpstreamError::SessionLost);
            }
            let session = Arc::new(HttpSession::pinned(pinned)?);
            return Ok(InSession { session, place: None, generation: None });
        }
        let cell = Arc::clone(&self.generation.lock().unwrap_or_else(PoisonError::into_inner));
        let generation = cell.get_or_try_init(|| session::discover(&self.exchange, self.next_id())).await?;
        if let Generation::Modern(session) = generation {
            let session = Arc::clone(session);
            return Ok(InSession { session, place: None, generation: Some(cell) });
        }
        let place = self.sessions.place(&conversation.key)?;
        let session = place.get_or_try_init(|| self.initialize(conversation)).await?;
        Ok(InSession { session: Arc::clone(session), place: Some(place), generation: Some(cell) })
    }

    async fn initialize(&self, conversation: &Conversation) -> Result<Arc<HttpSession>, UpstreamError> {
        match session::initialize(&self.exchange, self.next_id(), conversation).await? {
            Initialized::Session(session) => Ok(session),
            Initialized::Stranger(status) => {
                Err(UpstreamError::unavailable(format!("HTTP {status} to `initialize`")))
            }
        }
    }

    /// What is agreed again the next time, unless somebody else already saw to that.
    fn forget(&self, conversation: &Conversation, used: &InSession) {
        if let Some(place) = &used.place {
            self.sessions.forget(&conversation.key, place);
        } else if let Some(generation) = &used.generation {
            let mut current = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, generation) {
                *current = Arc::default();
            }
        }
    }

    /// Opens the stream of a session that no client listens to, for servers that ask there instead of on the stream of the call. It ends with the
    /// session.
    async fn listen_for_questions(&self, conversation: &Arc<Conversation>, used: &InSession) {
        let Some(place) = used.place.as_ref().map(Arc::downgrade) else { return };
        let listener = Listener {
            exchange: Arc::clone(&self.exchange),
            session: Arc::clone(&used.session),
            _place: None,
            conversation: Arc::clone(conversation),
            wanted: Wanted::default(),
            askers: Arc::clone(&self.askers),
            id: self.next_id(),
        };
        // A server without such a stream asks on that of the call.
        let Ok(mut heard) = listener.start().await else { return };
        tokio::spawn(async move {
            while place.strong_count() > 0 {
                if let Ok(None) = tokio::time::timeout(LOOK, heard.recv()).await {
                    return;
                }
            }
        });
    }

    /// Asks for the changes of resources. What a server refuses is not heard of.
    async fn subscribe(&self, session: &Arc<HttpSession>, uris: &[String]) {
        for uri in uris {
            let (outgoing, id) = (listen::subscription(uri), self.next_id());
            let body = outgoing.encode(id, &session.revision);
            let answered = self.exchange.call(session, &outgoing, id, body).await;
            if !matches!(answered, Ok(Reply::Answer(Answer::Result(_)))) {
                tracing::debug!(upstream = &*self.exchange.upstream, uri, "its changes are not announced");
            }
        }
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Upstream for HttpUpstream {
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answered, UpstreamError> {
        let conversation = &outgoing.conversation;
        let _askable = self.askers.enter(&conversation.key, outgoing.asker.as_ref());
        // The second turn is for a server that says it has not even looked at the request.
        for turn in 0..2 {
            let used = self.session(conversation).await.map_err(UpstreamError::before_request)?;
            let session = &used.session;
            let modern = session.revision.is_modern();
            if conversation.shared && outgoing.asker.is_some() && !modern {
                session.listened.get_or_init(|| self.listen_for_questions(conversation, &used)).await;
            }
            let id = self.next_id();
            let body = outgoing.encode(id, &session.revision);
            let cancel =
                Cancel { exchange: &self.exchange, session, id, places: &self.cancellations, armed: !modern };
            let reply = self.exchange.call(session, &outgoing, id, body).await;
            cancel.disarm();
            match reply? {
                Reply::Forgotten if conversation.pinned.is_some() => {
                    self.sessions.take(&conversation.key);
                    return Err(UpstreamError::SessionLost);
                }
                Reply::Forgotten if turn == 0 => self.forget(conversation, &used),
                Reply::Forgotten => break,
                Reply::Answer(answer) => {
                    if modern && is_version_error(&answer) {
                        self.forget(conversation, &used);
                    }
                    return Ok(Answered { answer, modern });
                }
            }
        }
        Err(UpstreamError::unavailable("it forgets its session at once"))
    }

    async fn notify(
        &self,
        conversation: &Arc<Conversation>,
        method: &str,
        params: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let used = self.session(conversation).await?;
        if used.session.revision.is_modern() {
            return Ok(());
        }
        let told = self.exchange.tell(&used.session, notification(method, params.unwrap_or_default())).await;
        if matches!(told, Err(UpstreamError::SessionLost)) {
            self.forget(conversation, &used);
        }
        told
    }

    async fn open(&self, conversation: &Arc<Conversation>) -> Result<Opened, UpstreamError> {
        let target = self.exchange.address().text();
        let Some(pinned) = &conversation.pinned else {
            let used = self.session(conversation).await?;
            return used.session.lend(target, !conversation.is_own());
        };
        // What the server says about itself was heard by whoever opened that session; it is the same for all.
        let opened = self.session(&Conversation::own()).await?.session.lend(target, false)?;
        Ok(Opened { revision: pinned.revision.clone(), session: Some(pinned.clone()), ..opened })
    }

    async fn listen(
        &self,
        conversation: &Arc<Conversation>,
        wanted: Wanted,
    ) -> Result<mpsc::Receiver<Announcement>, UpstreamError> {
        // The second turn is for a session that the server has forgotten.
        for turn in 0..2 {
            let used = self.session(conversation).await?;
            let (session, place) = (Arc::clone(&used.session), used.place.clone());
            let listener = Listener {
                exchange: Arc::clone(&self.exchange),
                session,
                _place: place,
                conversation: Arc::clone(conversation),
                wanted: wanted.clone(),
                askers: Arc::clone(&self.askers),
                id: self.next_id(),
            };
            match listener.start().await {
                Ok(heard) => {
                    if !used.session.revision.is_modern() {
                        self.subscribe(&used.session, &wanted.updated).await;
                    }
                    return Ok(heard);
                }
                Err(UpstreamError::SessionLost) if turn == 0 && conversation.pinned.is_none() => {
                    self.forget(conversation, &used);
                }
                Err(error) => return Err(error),
            }
        }
        Err(UpstreamError::unavailable("it forgets its session at once"))
    }

    async fn close(&self, conversation: &Arc<Conversation>) {
        let kept = self.sessions.take(&conversation.key);
        let pinned = conversation.pinned.as_ref();
        let pinned = pinned.filter(|pinned| *pinned.target == *self.exchange.address().text());
        let session = match pinned {
            Some(pinned) => HttpSession::pinned(pinned).ok().map(Arc::new),
            None => kept,
        };
        if let Some(session) = session
            && let Err(error) = self.exchange.delete(&session).await
        {
            tracing::debug!(upstream = &*self.exchange.upstream, %error, "a session was not ended");
        }
    }

    async fn shutdown(&self, grace: Duration) {
        let sessions = stream::iter(self.sessions.close());
        // A server that cannot be told will find out by itself.
        let ending = sessions.for_each_concurrent(ENDINGS, async |session| {
            if !session.is_lent() {
                let _ = self.exchange.delete(&session).await;
            }
        });
        let _ = tokio::time::timeout(grace, ending).await;
    }
}

/// The server no longer speaks the revision it was known for.
fn is_version_error(answer: &Answer) -> bool {
    matches!(answer, Answer::Error(error) if error.windows(6).any(|w| w == b"-32022"))
}

/// Tells a legacy server that a call is no longer wanted, when it is dropped in the middle. For a modern server closing
/// the stream says that.
struct Cancel<'a> {
    exchange: &'a Arc<Exchange>,
    session: &'a Arc<HttpSession>,
    id: u64,
    places: &'a Arc<Semaphore>,
    armed: bool,
}

impl Cancel<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (Ok(place), Ok(runtime)) =
            (Arc::clone(self.places).try_acquire_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (exchange, session, id) = (Arc::clone(self.exchange), Arc::clone(self.session), self.id);
        runtime.spawn(async move {
            let _place = place;
            let message = super::outgoing::cancelled(id);
            let _ = tokio::time::timeout(Duration::from_secs(5), exchange.tell(&session, message)).await;
        });
    }
}

#[cfg(test)]
mod tests;
