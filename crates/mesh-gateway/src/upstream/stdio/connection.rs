//! The calls that one process has under way.

use super::Changed;
use super::lines::{HEAD, Line};
use crate::upstream::announcement::HEARD;
use crate::upstream::outgoing::{cancelled, refusal};
use crate::upstream::questions::{Asked, Askers, Questions};
use crate::upstream::{Announcement, Answer, Answered, Notify, Outgoing, Revision, UpstreamError, Wanted};
use crate::wire::incoming::{Incoming, cancelled_id};
use crate::wire::object::RawObject;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait to be written to the process. Calls wait for room; what is ours to leave out is left out.
pub(super) const OUTBOX: usize = 64;

/// Somebody who listens.
struct Ear {
    wanted: Wanted,
    to: mpsc::Sender<Announcement>,
}

struct Pending {
    answer: oneshot::Sender<Result<Answer, UpstreamError>>,
    notify: Option<Notify>,
}

/// Matches answers to calls. Ends once, with the reason that every open call then gets.
pub(super) struct Connection {
    upstream: Arc<str>,
    next_id: AtomicU64,
    /// `Err` after the end.
    pending: Mutex<Result<HashMap<u64, Pending>, UpstreamError>>,
    outbox: mpsc::Sender<Bytes>,
    revision: OnceLock<(Revision, Bytes)>,
    changed: Changed,
    askers: Arc<Askers>,
    questions: Mutex<Questions>,
    listeners: Mutex<Vec<Ear>>,
    max_line: usize,
}

#[derive(Deserialize)]
struct ProgressToken {
    #[serde(rename = "progressToken")]
    token: u64,
}

impl Connection {
    pub(super) fn new(
        upstream: Arc<str>,
        outbox: mpsc::Sender<Bytes>,
        changed: Changed,
        max_line: usize,
    ) -> Self {
        Self {
            upstream,
            next_id: AtomicU64::new(1),
            pending: Mutex::new(Ok(HashMap::new())),
            outbox,
            revision: OnceLock::new(),
            changed,
            askers: Arc::default(),
            questions: Mutex::default(),
            listeners: Mutex::default(),
            max_line,
        }
    }

    /// Notes what the handshake agreed on, and what the server said about itself.
    pub(super) fn agree(&self, revision: Revision, described: Bytes) {
        // Set once, by the one who makes the handshake.
        let _ = self.revision.set((revision, described));
    }

    /// What was agreed.
    pub(super) fn agreed(&self) -> Result<&(Revision, Bytes), UpstreamError> {
        self.revision.get().ok_or_else(|| UpstreamError::unavailable("the handshake is not done"))
    }

    /// Tells somebody what the process says of itself from now on, as far as it is wanted.
    pub(super) fn hear(&self, wanted: Wanted) -> mpsc::Receiver<Announcement> {
        let (to, heard) = mpsc::channel(HEARD);
        lock(&self.listeners).push(Ear { wanted, to });
        heard
    }

    /// Sends a request in the agreed revision.
    pub(super) async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answered, UpstreamError> {
        let (revision, _) = self.agreed()?;
        let _askable = self.askers.enter(&outgoing.conversation.key, outgoing.asker.as_ref());
        let mut call = self.open(outgoing.notify.clone())?;
        self.send(outgoing.encode(call.id, revision)).await?;
        let answer = call.answer().await?;
        Ok(Answered { answer, modern: revision.is_modern() })
    }

    /// Keeps `subscriptions/listen` open for as long as somebody listens, or until the server ends it.
    pub(super) fn subscribe(self: &Arc<Self>, wanted: Wanted) -> mpsc::Receiver<Announcement> {
        let (to, listener) = mpsc::channel(HEARD);
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            let mut heard = connection.hear(wanted.clone());
            let mut params = RawObject::default();
            params.set("notifications", wanted.filter());
            let Ok(mut call) = connection.open(None) else { return };
            let message = Outgoing::own("subscriptions/listen", params).encode(call.id, &Revision::Modern);
            if connection.send(message).await.is_err() {
                return;
            }
            loop {
                tokio::select! {
                    () = to.closed() => return,
                    _ = call.answer() => return,
                    announcement = heard.recv() => match announcement {
                        Some(announcement) => {
                            if to.send(announcement).await.is_err() {
                                return;
                            }
                        }
                        None => return,
                    },
                }
            }
        });
        listener
    }

    /// Registers a call. Dropping it before its answer came cancels it.
    pub(super) fn open(&self, notify: Option<Notify>) -> Result<Call<'_>, UpstreamError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        match &mut *self.lock() {
            Ok(pending) => pending.insert(id, Pending { answer, notify }),
            Err(error) => return Err(error.clone()),
        };
        Ok(Call { connection: self, id, receiver, open: true })
    }

    /// Queues a message, waiting for room.
    pub(super) async fn send(&self, mut message: Vec<u8>) -> Result<(), UpstreamError> {
        message.push(b'\n');
        self.outbox
            .send(message.into())
            .await
            .map_err(|_| UpstreamError::unavailable("the process does not take messages any more"))
    }

    /// Queues a message if there is room.
    fn send_now(&self, mut message: Vec<u8>) {
        message.push(b'\n');
        if self.outbox.try_send(message.into()).is_err() {
            tracing::debug!(upstream = &*self.upstream, "a message was left out: the process does not read");
        }
    }

    /// Takes a line of the process.
    pub(super) fn receive(self: &Arc<Self>, line: Line) {
        let line = match line {
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => return,
            Line::Whole(line) => line,
            Line::TooLong(head) => {
                return self.unreadable(&head, &UpstreamError::TooLarge { limit: self.max_line });
            }
        };
        let Ok(message) = serde_json::from_slice::<Incoming<'_>>(&line) else {
            return self.unreadable(&line, &UpstreamError::bad_answer("its answer is not a message"));
        };
        let raw = |value: &RawValue| line.slice_ref(value.get().as_bytes());
        match (message.id, message.method.as_deref()) {
            (Some(id), Some(method)) => self.asked(id.get(), method, message.params),
            (None, Some(method)) => self.notified(method, message.params, &line),
            (Some(id), None) => {
                let answer = match (message.result, message.error) {
                    (Some(result), None) => Ok(Answer::Result(raw(result).into())),
                    (_, Some(error)) => Ok(Answer::Error(raw(error))),
                    (None, None) => Err(UpstreamError::bad_answer("neither result nor error")),
                };
                self.settle(id.get(), answer);
            }
            (None, None) => tracing::warn!(upstream = &*self.upstream, "an error without an id; ignored"),
        }
    }

    /// A question of the process. It does not say which call it is about: it is put to the client whose calls are open, if there is only one.
    fn asked(self: &Arc<Self>, id: &str, method: &str, params: Option<&RawValue>) {
        let Ok(asker) = self.askers.only() else {
            return self
                .send_now(refusal(id, "it is not clear which client is asked: several have calls open"));
        };
        let connection = Arc::clone(self);
        let tell = async move |message| drop(connection.send(message).await);
        let asked = lock(&self.questions).ask(asker.as_ref(), id, method, params.map(RawValue::get), tell);
        if let Asked::Now(reply) = asked {
            self.send_now(reply);
        }
    }

    /// Tells the listeners. One that does not keep up is told no more: it listens again, and then knows that it missed something.
    fn announce(&self, announcement: &Announcement) {
        lock(&self.listeners).retain(|ear| {
            !ear.to.is_closed()
                && (!ear.wanted.wants(announcement) || ear.to.try_send(announcement.clone()).is_ok())
        });
    }

    fn notified(&self, method: &str, params: Option<&RawValue>, message: &Bytes) {
        match method {
            "notifications/progress" => {
                let Some(params) = params else { return };
                let Ok(ProgressToken { token }) = serde_json::from_str(params.get()) else { return };
                let notify = match &*self.lock() {
                    Ok(pending) => pending.get(&token).and_then(|pending| pending.notify.clone()),
                    Err(_) => None,
                };
                if let Some(notify) = notify {
                    notify.progress(params.get());
                }
            }
            "notifications/cancelled" => {
                if let Some(id) = cancelled_id(params) {
                    lock(&self.questions).withdraw(id);
                }
            }
            // It does not say which call it is about: if only one is open, it is that.
            "notifications/message" if let Some(notify) = self.only_call() => notify.log(message),
            _ => {
                let Some(announcement) = Announcement::read(method, params, message) else { return };
                match announcement {
                    Announcement::Tools | Announcement::Prompts | Announcement::Resources => {
                        (self.changed)(&announcement);
                    }
                    _ => self.announce(&announcement),
                }
            }
        }
    }

    fn settle(&self, id: &str, answer: Result<Answer, UpstreamError>) {
        let pending = match (&mut *self.lock(), id.parse::<u64>()) {
            (Ok(pending), Ok(id)) => pending.remove(&id),
            _ => None,
        };
        match pending {
            // The call may have been given up in this moment.
            Some(pending) => drop(pending.answer.send(answer)),
            None => tracing::debug!(upstream = &*self.upstream, "an answer that nobody waits for"),
        }
    }

    /// Fails the call that a line belongs to which cannot be read, as far as its beginning tells. Servers that write
    /// other things than messages to their standard output are common; that is only logged.
    fn unreadable(&self, line: &[u8], error: &UpstreamError) {
        let head = String::from_utf8_lossy(&line[..line.len().min(HEAD)]);
        let shown: String = head.chars().take(120).collect();
        tracing::warn!(upstream = &*self.upstream, %error, line = shown, "a line cannot be read");
        if !head.trim_start().starts_with('{') {
            return;
        }
        let id: String = match head.split_once("\"id\":") {
            Some((_, rest)) => rest.trim_start().chars().take_while(char::is_ascii_digit).collect(),
            None => String::new(),
        };
        let only = match &*self.lock() {
            Ok(pending) if pending.len() == 1 => pending.keys().next().map(u64::to_string),
            _ => None,
        };
        if let Some(id) = Some(id).filter(|id| !id.is_empty()).or(only) {
            self.settle(&id, Err(error.clone()));
        }
    }

    /// Ends the connection: open calls fail with this reason, and so does every later one.
    pub(super) fn end(&self, error: &UpstreamError) {
        let ended = std::mem::replace(&mut *self.lock(), Err(error.clone()));
        lock(&self.listeners).clear();
        for pending in ended.into_iter().flat_map(HashMap::into_values) {
            // The call may have been given up in this moment.
            let _ = pending.answer.send(Err(error.clone()));
        }
    }

    /// The stream of the only call that is open.
    fn only_call(&self) -> Option<Notify> {
        let pending = self.lock();
        let pending = pending.as_ref().ok()?;
        let mut open = pending.values();
        match (open.next(), open.next()) {
            (Some(only), None) => only.notify.clone(),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Result<HashMap<u64, Pending>, UpstreamError>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call that waits for its answer.
pub(super) struct Call<'a> {
    connection: &'a Connection,
    pub(super) id: u64,
    receiver: oneshot::Receiver<Result<Answer, UpstreamError>>,
    open: bool,
}

impl Call<'_> {
    /// Waits. May be called again after it was dropped in the middle.
    pub(super) async fn answer(&mut self) -> Result<Answer, UpstreamError> {
        let answer = (&mut self.receiver).await;
        self.open = false;
        answer.unwrap_or_else(|_| Err(UpstreamError::unavailable("the process ended")))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.open {
            let known = match &mut *self.connection.lock() {
                Ok(pending) => pending.remove(&self.id).is_some(),
                Err(_) => false,
            };
            if known {
                self.connection.send_now(cancelled(self.id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ResultText;

    fn connection() -> (Arc<Connection>, mpsc::Receiver<Bytes>) {
        let (outbox, sent) = mpsc::channel(8);
        let connection = Arc::new(Connection::new("crm".into(), outbox, Arc::new(|_| {}), 1000));
        connection.agree(Revision::Legacy("2025-11-25".into()), Bytes::new());
        (connection, sent)
    }

    fn line(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order() {
        let (connection, _sent) = connection();
        let (mut first, mut second) = (connection.open(None).unwrap(), connection.open(None).unwrap());
        connection.receive(line("Starting server..."));
        connection.receive(line(r#"{"jsonrpc":"2.0","id":2,"result":{"n":1.0}}"#));
        connection.receive(line(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#));
        assert!(
            matches!(second.answer().await.unwrap(), Answer::Result(ResultText::Whole(r)) if r == r#"{"n":1.0}"#)
        );
        assert!(matches!(first.answer().await.unwrap(), Answer::Error(e) if e == r#"{"code":1}"#));
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_is_cancelled_and_a_late_answer_is_nobodys() {
        let (connection, mut sent) = connection();
        let outgoing = Outgoing::own("tools/call", RawObject::default());
        let mut call = Box::pin(connection.request(&outgoing));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        assert!(sent.recv().await.unwrap().starts_with(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call""#));
        let cancel = sent.recv().await.unwrap();
        assert!(String::from_utf8_lossy(&cancel).contains(r#""requestId":1"#), "{cancel:?}");
        connection.receive(line(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    }

    #[tokio::test]
    async fn requests_of_the_process_are_answered() {
        let (connection, mut sent) = connection();
        connection.receive(line(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#));
        connection.receive(line(r#"{"jsonrpc":"2.0","id":0,"method":"roots/list"}"#));
        assert_eq!(sent.recv().await.unwrap(), "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n");
        assert!(String::from_utf8_lossy(&sent.recv().await.unwrap()).contains("-32601"));
    }

    #[tokio::test]
    async fn the_end_fails_open_and_later_calls() {
        let (connection, _sent) = connection();
        let mut call = connection.open(None).unwrap();
        connection.end(&UpstreamError::unavailable("exit status: 1"));
        assert!(matches!(call.answer().await, Err(UpstreamError::Unavailable(_))));
        assert!(connection.open(None).is_err());
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_read_fails_its_call() {
        let (connection, _sent) = connection();
        let (mut first, _second) = (connection.open(None).unwrap(), connection.open(None).unwrap());
        connection
            .receive(Line::TooLong(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"content"#)));
        assert!(matches!(first.answer().await, Err(UpstreamError::TooLarge { limit: 1000 })));
        let (mut third, _fourth) = (connection.open(None).unwrap(), connection.open(None).unwrap());
        connection.receive(Line::Whole(Bytes::from_static(
            b"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"x\":\"\xe4\"}}",
        )));
        assert!(matches!(third.answer().await, Err(UpstreamError::BadAnswer(_))));
    }
}
