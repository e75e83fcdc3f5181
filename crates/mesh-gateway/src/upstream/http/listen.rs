//! What a server announces: the stream of a session, or the answer to `subscriptions/listen`.

use super::answer::{check, is_events};
use super::exchange::Exchange;
use super::link::Body;
use super::session::HttpSession;
use crate::upstream::announcement::HEARD;
use crate::upstream::questions::{Asked, Askers, Questions};
use crate::upstream::sessions::Place;
use crate::upstream::{Announcement, ClientFacts, Conversation, Outgoing, Revision, UpstreamError, Wanted};
use crate::wire::incoming::{Incoming, cancelled_id};
use crate::wire::object::RawObject;
use crate::wire::sse::{Event, Reader};
use crate::wire::string;
use http::StatusCode;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// First and longest pause before a stream is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A stream that lasted this long is opened again after the shortest pause.
const STEADY: Duration = Duration::from_secs(20);

/// Who listens to a server, and in which session.
pub(super) struct Listener {
    pub(super) exchange: Arc<Exchange>,
    pub(super) session: Arc<HttpSession>,
    /// The session is in use as long as somebody listens.
    pub(super) place: Option<Place<HttpSession>>,
    pub(super) conversation: Arc<Conversation>,
    pub(super) wanted: Wanted,
    pub(super) askers: Arc<Askers>,
    /// The id of `subscriptions/listen`.
    pub(super) id: u64,
}

/// How opening a stream ended.
enum Opening {
    Open(Body),
    /// The server does not know the session.
    Forgotten,
    Failed(UpstreamError),
}

impl Listener {
    /// Opens the stream, and follows it in the background until the receiver is dropped or the server ends it.
    pub(super) async fn start(self) -> Result<mpsc::Receiver<Announcement>, UpstreamError> {
        let reader = Reader::new(self.exchange.max_result);
        let body = match self.open(&reader).await {
            Opening::Open(body) => body,
            Opening::Forgotten => return Err(UpstreamError::SessionLost),
            Opening::Failed(error) => return Err(error),
        };
        let (to, heard) = mpsc::channel(HEARD);
        tokio::spawn(async move {
            let closed = to.clone();
            tokio::select! {
                () = closed.closed() => {}
                () = self.follow(body, reader, to) => {}
            }
        });
        Ok(heard)
    }

    async fn open(&self, reader: &Reader) -> Opening {
        let response = if self.session.revision.is_modern() {
            let mut params = RawObject::default();
            params.set("notifications", self.wanted.filter());
            let client = ClientFacts {
                capabilities: Some(&self.conversation.capabilities),
                info: self.conversation.info.as_deref(),
                log_level: None,
            };
            let outgoing = Outgoing { client, ..Outgoing::own("subscriptions/listen", params) };
            let body = outgoing.encode(self.id, &Revision::Modern);
            self.exchange.post(&self.session, Some(&outgoing), body).await
        } else {
            self.exchange.get(&self.session, reader.last_id()).await
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return Opening::Failed(error),
        };
        let status = response.status();
        if status == StatusCode::NOT_FOUND && self.session.id.is_some() {
            return Opening::Forgotten;
        }
        if let Err(error) = check(status) {
            return Opening::Failed(error);
        }
        if status.is_success() && is_events(&response) {
            return Opening::Open(response.into_body());
        }
        Opening::Failed(UpstreamError::unavailable(format!("it announces nothing (HTTP {status})")))
    }

    async fn follow(&self, body: Body, mut reader: Reader, to: mpsc::Sender<Announcement>) {
        let (mut body, mut pause) = (Some(body), BACK_OFF.0);
        loop {
            if let Some(stream) = body.take() {
                let opened = Instant::now();
                if self.hear(stream, &mut reader, &to).await {
                    return;
                }
                if opened.elapsed() >= STEADY {
                    pause = BACK_OFF.0;
                }
                reader = reader.resumed();
            }
            tokio::time::sleep(reader.retry().unwrap_or(pause).clamp(BACK_OFF.0, BACK_OFF.1)).await;
            pause = (pause * 2).min(BACK_OFF.1);
            match self.open(&reader).await {
                Opening::Open(stream) => {
                    body = Some(stream);
                    // A server that counts its events says again what was missed.
                    if reader.last_id().is_none() && to.send(Announcement::Resumed).await.is_err() {
                        return;
                    }
                }
                Opening::Forgotten => return,
                Opening::Failed(error) => {
                    tracing::debug!(upstream = &*self.exchange.upstream, %error, "its announcements are not heard");
                }
            }
        }
    }

    /// Passes on what is said, until the stream ends. Returns whether the server is done.
    async fn hear(&self, mut body: Body, reader: &mut Reader, to: &mpsc::Sender<Announcement>) -> bool {
        let mut questions = Questions::default();
        while let Ok(Some(piece)) = body.piece().await {
            reader.push(&piece);
            while let Some(event) = reader.next_event() {
                // What is too long breaks the stream off.
                let Event::Data(data) = event else { return false };
                let Ok(message) = serde_json::from_slice::<Incoming<'_>>(&data) else { continue };
                match (message.id, message.method.as_deref()) {
                    (None, Some("notifications/cancelled")) => {
                        if let Some(id) = cancelled_id(message.params) {
                            questions.withdraw(id);
                        }
                    }
                    (None, Some(method)) => {
                        let announcement = Announcement::read(method, message.params, &data);
                        // In a session of its own a conversation hears only of the resources that it asked for.
                        let wanted = announcement.filter(|announcement| {
                            matches!(announcement, Announcement::Updated { .. })
                                || self.wanted.wants(announcement)
                        });
                        if let Some(announcement) = wanted
                            && to.send(announcement).await.is_err()
                        {
                            return true;
                        }
                    }
                    (Some(id), Some(method)) => {
                        if let Some(reply) = self.ask(&mut questions, id.get(), method, message.params) {
                            // A server that cannot be told waits in vain, as long as it likes.
                            let _ = self.exchange.tell(&self.session, reply).await;
                        }
                    }
                    // The result of `subscriptions/listen` is its end.
                    _ if self.session.revision.is_modern() && message.answers(self.id) => return true,
                    _ => {}
                }
            }
        }
        false
    }

    /// A question that names no call is put to the client of a call that is open in this conversation.
    fn ask(
        &self,
        questions: &mut Questions,
        id: &str,
        method: &str,
        params: Option<&RawValue>,
    ) -> Option<Vec<u8>> {
        let (exchange, session) = (Arc::clone(&self.exchange), Arc::clone(&self.session));
        let tell = async move |message| drop(exchange.tell(&session, message).await);
        let asker = self.askers.of(&self.conversation.key);
        match questions.ask(asker.as_ref(), id, method, params.map(RawValue::get), tell) {
            Asked::Now(reply) => Some(reply),
            Asked::Later => None,
        }
    }
}

/// Asks for the changes of resources, in a session that hears them.
pub(super) fn subscription(uri: &str) -> Outgoing<'static> {
    let mut params = RawObject::default();
    params.set("uri", string(uri));
    Outgoing::own("resources/subscribe", params)
}
