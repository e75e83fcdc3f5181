//! The gateway as an MCP server on standard input and output: JSON messages, one a line, of either generation.
//!
//! There is one client, so its session is ours to keep: it brings no id. Each request is answered as one over HTTP is, by the same code.

use super::reply::Answered;
use super::{answer, edge::Edge};
use crate::gateway::Gateway;
use crate::wire::MODERN_VERSION;
use crate::wire::envelope::{self, Message};
use crate::wire::meta::RequestMeta;
use crate::wire::object::as_str;
use crate::wire::{header, header_value};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests that are answered at the same time; more wait on standard input.
const REQUESTS: usize = 64;
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
        let limit = self.gateway.plan().settings.limits.body;
        let places = Arc::new(Semaphore::new(REQUESTS));
        let requests = TaskTracker::new();
        let mut lines = BufReader::new(stdin);
        loop {
            let Some(line) = next_line(&mut lines, limit).await.map_err(StdioError::Read)? else { break };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if self.is_handshake(&line) || is_notification(&line) {
                // In order: what comes next belongs to the session that begins here, or is after what was said.
                Arc::clone(&self).take(line).await;
                continue;
            }
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let client = Arc::clone(&self);
            requests.spawn(async move {
                client.take(line).await;
                drop(place);
            });
        }
        requests.close();
        requests.wait().await;
        Ok(())
    }

    fn is_handshake(&self, line: &[u8]) -> bool {
        line.windows(12).any(|window| window == b"\"initialize\"")
    }

    /// Answers one message.
    async fn take(self: Arc<Self>, line: Bytes) {
        let (headers, id) = self.headers(&line);
        let edge = Arc::new(Edge::of_line(line, self.path.clone(), headers));
        let plan = self.gateway.plan();
        let (notify, mut notifications) = mpsc::channel(plan.settings.limits.notifications);
        let work = answer(Arc::clone(&self.gateway), plan, edge, Some(notify));
        let cancelled = CancellationToken::new();
        if let Some(id) = &id {
            self.lock_calls().insert(id.clone(), cancelled.clone());
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
            self.lock_calls().remove(id);
        }
        let Some(replied) = replied else { return };
        if let Some(session) = replied.session.and_then(|session| HeaderValue::from_str(&session).ok()) {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        }
        match replied.body {
            Answered::Nothing => {}
            Answered::Whole(message) => self.say(&message).await,
            Answered::Pieces(before, mut pieces) => {
                // A line is one message: others must not come between its pieces.
                let mut message = BytesMut::from(&before[..]);
                while let Some(Ok(piece)) = pieces.next().await {
                    message.extend_from_slice(&piece);
                }
                message.extend_from_slice(b"}");
                self.say(&message).await;
            }
        }
    }

    /// The headers that the message would have over HTTP, where they have to agree with it; and the id, if it can be cancelled.
    fn headers(&self, line: &Bytes) -> (HeaderMap, Option<Box<str>>) {
        let mut headers = HeaderMap::new();
        let depth = self.gateway.plan().settings.limits.depth;
        let Ok(message) = envelope::decode(line, depth) else { return (headers, None) };
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match message {
            Message::Request { id, method, mut params } => {
                let name = params.get("name").or_else(|| params.get("uri")).or_else(|| params.get("taskId"));
                let name = name.and_then(as_str).map(|name| header_value::encode(&name).into_owned());
                let version = RequestMeta::take(&mut params).ok().and_then(|meta| meta.protocol_version);
                match version {
                    Some(version) if version == MODERN_VERSION => {
                        set(&mut headers, header::PROTOCOL_VERSION, &version);
                        set(&mut headers, header::METHOD, &method);
                        if let Some(name) = name {
                            set(&mut headers, header::NAME, &name);
                        }
                    }
                    Some(version) => set(&mut headers, header::PROTOCOL_VERSION, &version),
                    None if method == "initialize" => {}
                    None => headers.extend(session.map(|session| (header::SESSION_ID, session))),
                }
                (headers, Some(id.as_json().into()))
            }
            Message::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.get("requestId")
                    && let Some(call) = self.lock_calls().get(id)
                {
                    call.cancel();
                }
                headers.extend(session.map(|session| (header::SESSION_ID, session)));
                (headers, None)
            }
            Message::Response { .. } => {
                headers.extend(session.map(|session| (header::SESSION_ID, session)));
                (headers, None)
            }
        }
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

fn is_notification(line: &[u8]) -> bool {
    line.windows(15).any(|window| window == b"\"notifications/")
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
