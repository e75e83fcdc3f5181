//! An MCP server that speaks Streamable HTTP, of either generation.

mod exchange;
mod session;

use self::exchange::{Exchange, Reply};
use self::session::Session;
use super::{Answer, Answered, Outgoing, Upstream, UpstreamError};
use crate::settings::Settings;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// Cancellations that may be on their way to one upstream at the same time; more are left out.
const CANCELLATIONS: usize = 16;

/// The upstream: a pool of connections, and the session that its generation needs.
pub(crate) struct HttpUpstream {
    exchange: Arc<Exchange>,
    /// Replaced as a whole when the server has forgotten the session or changed its generation.
    session: Mutex<Arc<OnceCell<Session>>>,
    next_id: AtomicU64,
    cancellations: Arc<Semaphore>,
}

impl HttpUpstream {
    pub(crate) fn new<'a>(
        id: &Arc<str>,
        url: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        settings: &Settings,
    ) -> Result<Self, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value).ok());
            let (name, mut value) = parsed.ok_or_else(|| format!("header `{name}` is not valid"))?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        let exchange = Exchange::new(Arc::clone(id), url, map, settings)?;
        Ok(Self {
            exchange: Arc::new(exchange),
            session: Mutex::default(),
            next_id: AtomicU64::new(1),
            cancellations: Arc::new(Semaphore::new(CANCELLATIONS)),
        })
    }

    fn cell(&self) -> Arc<OnceCell<Session>> {
        Arc::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a session, unless somebody else already did.
    fn forget(&self, old: &Arc<OnceCell<Session>>) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&session, old) {
            *session = Arc::default();
        }
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Upstream for HttpUpstream {
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answered, UpstreamError> {
        // The second turn is for a server that says it has not even looked at the request.
        for turn in 0..2 {
            let cell = self.cell();
            let session = cell.get_or_try_init(|| session::open(&self.exchange, self.next_id())).await;
            let session = session.map_err(UpstreamError::before_request)?;
            let id = self.next_id();
            let body = outgoing.encode(id, &session.revision);
            let cancel = Cancel {
                exchange: &self.exchange,
                session,
                id,
                places: &self.cancellations,
                armed: !session.revision.is_modern(),
            };
            let reply = self.exchange.call(session, Some(&outgoing), id, body).await;
            cancel.disarm();
            match reply? {
                Reply::Forgotten if turn == 0 => self.forget(&cell),
                Reply::Forgotten => break,
                Reply::Answer(answer) => {
                    if session.revision.is_modern() && is_version_error(&answer) {
                        self.forget(&cell);
                    }
                    return Ok(Answered { answer, modern: session.revision.is_modern() });
                }
            }
        }
        Err(UpstreamError::unavailable("it forgets its session at once"))
    }

    async fn shutdown(&self, grace: Duration) {
        if let Some(session) = self.cell().get()
            && session.id.is_some()
        {
            // A server that cannot be told will find out by itself.
            let _ = tokio::time::timeout(grace, self.exchange.delete(session)).await;
        }
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
    session: &'a Session,
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
        let (exchange, session, id) = (Arc::clone(self.exchange), self.session.clone(), self.id);
        runtime.spawn(async move {
            let _place = place;
            let message = super::outgoing::cancelled(id);
            let _ = tokio::time::timeout(Duration::from_secs(5), exchange.notify(&session, message)).await;
        });
    }
}
