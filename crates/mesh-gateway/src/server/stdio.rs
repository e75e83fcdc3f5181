//! The gateway as an MCP server on standard input and output: JSON messages, one a line, of either generation.
//!
//! There is one client, so its session is ours to keep: it brings no id. Each request is answered as one over HTTP is, by the same code.

use super::reply::ReplyBody;
use super::{answer, edge::Edge};
use crate::gateway::Gateway;
use crate::rejection::Rejection;
use crate::upstream::ResultText;
use crate::wire::MODERN_VERSION;
use crate::wire::envelope::{self, Message, RequestId};
use crate::wire::meta::RequestMeta;
use crate::wire::object::as_str;
use crate::wire::{header, header_value};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests that are answered at the same time.
const REQUESTS: usize = 64;
/// Requests that wait for their turn; more are refused. The reader must never wait for them: the answers that they may wait for come behind
/// them.
const WAITING: usize = 1024;
/// Notifications and answers that are taken at the same time.
const SIDE: usize = 16;
/// Messages that wait to be written.
const OUTBOX: usize = 256;

/// Why the conversation on standard input and output ended.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// Standard input cannot be read.
    #[error("standard input cannot be read: {0}")]
    Read(std::io::Error),
    /// Standard output cannot be written.
    #[error("standard output cannot be written: {0}")]
    Write(std::io::Error),
}

/// Serves one client until its messages end, then lets open requests finish. `scope` is an upstream or a toolset; `None` for everything.
pub async fn serve_stdio(
    gateway: Arc<Gateway>,
    stdin: impl AsyncRead + Unpin + Send,
    mut stdout: impl AsyncWrite + Unpin + Send,
    scope: Option<String>,
) -> Result<(), StdioError> {
    let (outbox, mut lines) = mpsc::channel::<Bytes>(OUTBOX);
    let write = async move {
        while let Some(line) = lines.recv().await {
            stdout.write_all(&line).await.map_err(StdioError::Write)?;
            if lines.is_empty() {
                stdout.flush().await.map_err(StdioError::Write)?;
            }
        }
        Ok(())
    };
    let client = Arc::new(StdioClient {
        path: scope.map_or_else(|| "/mcp".to_owned(), |scope| format!("/mcp/{scope}")),
        gateway,
        outbox,
        session: Mutex::default(),
        calls: Mutex::default(),
    });
    let read = client.read(stdin);
    tokio::pin!(read);
    let mut write = Box::pin(write);
    tokio::select! {
        ended = &mut read => ended?,
        written = &mut write => return written,
    }
    // The last sender went with the last request, so this ends.
    write.await
}

/// A message of the client.
struct Letter {
    line: Bytes,
    /// Those that it would have over HTTP.
    headers: HeaderMap,
    /// Of a request.
    id: Option<RequestId>,
    /// Whether it begins a session.
    begins: bool,
}

struct StdioClient {
    gateway: Arc<Gateway>,
    path: String,
    outbox: mpsc::Sender<Bytes>,
    session: Mutex<Option<HeaderValue>>,
    /// Requests under way, by the text of their id, for clients without a session.
    calls: Mutex<HashMap<Box<str>, CancellationToken>>,
}

impl StdioClient {
    async fn read(self: Arc<Self>, stdin: impl AsyncRead + Unpin) -> Result<(), StdioError> {
        let settings = self.gateway.plan().settings.clone();
        let (places, side_places) = (Arc::new(Semaphore::new(REQUESTS)), Arc::new(Semaphore::new(SIDE)));
        let seats = Arc::new(Semaphore::new(REQUESTS + WAITING));
        let open = TaskTracker::new();
        let mut lines = BufReader::new(stdin);
        while let Some(line) = next_line(&mut lines, settings.limits.body).await.map_err(StdioError::Read)? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let letter = self.look(line);
            if letter.begins {
                // What comes next belongs to the session that begins here.
                Box::pin(self.take(letter)).await;
                continue;
            }
            let client = Arc::clone(&self);
            match &letter.id {
                Some(id) => match Arc::clone(&seats).try_acquire_owned() {
                    Ok(seat) => {
                        let places = Arc::clone(&places);
                        open.spawn(async move {
                            // Never closed.
                            let _place = places.acquire().await;
                            Box::pin(client.take(letter)).await;
                            drop(seat);
                        });
                    }
                    Err(_) => {
                        let busy = Rejection::TooManyRequests;
                        self.say(&envelope::error(Some(id), busy.code(), &busy.message(), None)).await;
                    }
                },
                None => {
                    let Ok(place) = Arc::clone(&side_places).acquire_owned().await else { break };
                    open.spawn(async move {
                        Box::pin(client.take(letter)).await;
                        drop(place);
                    });
                }
            }
        }
        open.close();
        // The client cannot answer questions any more, but may still read.
        if tokio::time::timeout(settings.call_timeout, open.wait()).await.is_err() {
            self.lock_calls().values().for_each(CancellationToken::cancel);
            open.wait().await;
        }
        Ok(())
    }

    /// Answers one message.
    async fn take(&self, letter: Letter) {
        let Letter { line, headers, id, .. } = letter;
        let edge = Arc::new(Edge::of_line(line, self.path.clone(), headers));
        let plan = self.gateway.plan();
        let (notify, mut notifications) = mpsc::channel(plan.settings.limits.notifications);
        let work = answer(Arc::clone(&self.gateway), plan, edge, Some(notify));
        let cancelled = CancellationToken::new();
        if let Some(id) = &id {
            self.lock_calls().insert(id.as_json().into(), cancelled.clone());
        }
        let work = cancelled.run_until_cancelled(work);
        tokio::pin!(work);
        let replied = loop {
            tokio::select! {
                biased;
                Some(message) = notifications.recv() => self.say(&message).await,
                replied = &mut work => break replied,
            }
        };
        while let Ok(message) = notifications.try_recv() {
            self.say(&message).await;
        }
        if let Some(id) = &id {
            self.lock_calls().remove(id.as_json());
        }
        let Some(replied) = replied else { return };
        if let Some(session) = replied.session.and_then(|session| HeaderValue::from_str(&session).ok()) {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        }
        match replied.body {
            ReplyBody::Nothing => {}
            ReplyBody::Whole(message) => self.say(&message).await,
            // Not asked for: a line is one message, and others must not come between its pieces.
            ReplyBody::Pieces(before, pieces) => {
                let message = match ResultText::Streamed(pieces).whole().await {
                    Ok(result) => [&before[..], &result, b"}"].concat().into(),
                    Err(error) => envelope::error(id.as_ref(), -32603, &error.to_string(), None),
                };
                self.say(&message).await;
            }
        }
    }

    /// Reads no more of a message than it takes to answer it as one over HTTP: the headers that it would have there.
    fn look(&self, line: Bytes) -> Letter {
        let mut headers = HeaderMap::new();
        let (mut id, mut begins, mut in_session) = (None, false, true);
        let depth = self.gateway.plan().settings.limits.depth;
        match envelope::decode(&line, depth) {
            Ok(Message::Request { id: own, method, mut params }) => {
                let name = params.get("name").or_else(|| params.get("uri")).or_else(|| params.get("taskId"));
                let name = name.and_then(as_str).map(|name| header_value::encode(&name).into_owned());
                begins = method == "initialize";
                let version = RequestMeta::take(&mut params).ok().and_then(|meta| meta.protocol_version);
                in_session = version.is_none() && !begins;
                if let Some(version) = version {
                    set(&mut headers, header::PROTOCOL_VERSION, &version);
                    if version == MODERN_VERSION {
                        set(&mut headers, header::METHOD, &method);
                        name.into_iter().for_each(|name| set(&mut headers, header::NAME, &name));
                    }
                }
                id = Some(own);
            }
            Ok(Message::Notification { method, params }) => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.get("requestId")
                    && let Some(call) = self.lock_calls().get(id)
                {
                    call.cancel();
                }
            }
            Ok(Message::Response { .. }) | Err(_) => {}
        }
        if in_session {
            let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
            headers.extend(session.map(|session| (header::SESSION_ID, session)));
        }
        Letter { line, headers, id, begins }
    }

    async fn say(&self, message: &[u8]) {
        let mut line = Vec::with_capacity(message.len() + 1);
        line.extend(message.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
        line.push(b'\n');
        // The writer ends only with the client.
        let _ = self.outbox.send(line.into()).await;
    }

    fn lock_calls(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, CancellationToken>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The next line without its end. One that is longer than allowed is cut there, and so cannot be read as a message.
async fn next_line(
    lines: &mut (impl AsyncBufReadExt + Unpin),
    limit: usize,
) -> std::io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    loop {
        let (found, used) = {
            let read = lines.fill_buf().await?;
            if read.is_empty() {
                return Ok((!line.is_empty()).then(|| line.into()));
            }
            let end = read.iter().position(|b| *b == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            let room = (limit + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            (end.is_some(), end.map_or(read.len(), |end| end + 1))
        };
        lines.consume(used);
        if found {
            return Ok(Some(line.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_end() {
        let text = format!("one\n{}\n\nlast", "x".repeat(50));
        let mut lines = BufReader::with_capacity(7, text.as_bytes());
        let mut all = Vec::new();
        while let Some(line) = next_line(&mut lines, 10).await.unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(all, ["one", "xxxxxxxxxxx", "", "last"]);
    }
}
