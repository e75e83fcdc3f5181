//! MCP servers behind the gateway: what one is asked, how it answers, and the two ways to reach one.

mod announcement;
mod breakers;
mod bulkhead;
pub(crate) mod catalog;
mod conversation;
mod dispatch;
mod fetch;
mod heard;
mod held;
mod http;
mod keeping;
mod kind;
mod outgoing;
pub(crate) mod param_headers;
mod questions;
mod registered;
mod result_text;
mod revision;
mod safety;
pub(crate) mod sessions;
mod stdio;
mod target;
mod targets;
mod vitals;

pub(crate) use announcement::{Announcement, Wanted};
pub(crate) use bulkhead::Bulkhead;
pub(crate) use catalog::{Catalog, Snapshot, Tool};
pub(crate) use conversation::{Asker, Conversation, Opened, Pinned};
pub(crate) use dispatch::{CallError, Terms};
pub(crate) use heard::ChangesReceiver;
pub(crate) use http::HttpUpstream;
pub(crate) use kind::Kind;
pub(crate) use outgoing::{ClientFacts, Logs, Notify, Outgoing};
pub use registered::SetupError;
pub(crate) use registered::{RegisteredUpstream, build};
pub(crate) use result_text::ResultText;
pub(crate) use revision::Revision;
pub(crate) use stdio::StdioUpstream;
#[cfg(feature = "fuzzing")]
pub use stdio::fuzz_lines;
pub(crate) use vitals::Vitals;

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What an upstream answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The `result` object.
    Result(ResultText),
    /// The `error` object, raw.
    Error(Bytes),
}

/// An answer, and the revision in which it was given.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) modern: bool,
}

/// Why there is no answer. The text is shown to clients, after the upstream's name.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// It cannot be reached: the request did not leave, or was refused before anybody looked at it.
    #[error("is not available: {0}")]
    NotSent(Arc<str>),
    /// It failed in the middle: whether the request was acted on is not known.
    #[error("is not available: {0}")]
    Unavailable(Arc<str>),
    #[error("does not accept the gateway's credentials: {0}")]
    Unauthorized(Arc<str>),
    #[error("broke the protocol: {0}")]
    BadAnswer(Arc<str>),
    #[error("answered with more than {limit} bytes")]
    TooLarge { limit: usize },
    /// The session that the request belongs to is gone; nothing was done.
    #[error("has forgotten the session")]
    SessionLost,
}

impl UpstreamError {
    pub(crate) fn not_sent(why: impl Into<Arc<str>>) -> Self {
        Self::NotSent(why.into())
    }

    /// What failed before the request itself, in opening a session for it, say.
    pub(crate) fn before_request(self) -> Self {
        match self {
            Self::Unavailable(why) => Self::NotSent(why),
            other => other,
        }
    }

    pub(crate) fn unavailable(why: impl Into<Arc<str>>) -> Self {
        Self::Unavailable(why.into())
    }

    pub(crate) fn bad_answer(why: impl Into<Arc<str>>) -> Self {
        Self::BadAnswer(why.into())
    }
}

/// One endpoint that speaks MCP.
///
/// Contract: `request` sends its request at most once to a server that may have acted on it; it ends when the answer
/// is there or the endpoint is known to be gone, and has no time limit of its own beyond connecting: the caller brings
/// the deadline. Dropping its future cancels the request at the server as the transport defines it. It holds at most
/// one result of the configured size.
#[async_trait::async_trait]
pub(crate) trait Upstream: Send + Sync + 'static {
    /// Begins what runs without being asked: a child process and its supervision.
    fn start(&self) {}

    /// Sends one request and waits for its answer.
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answered, UpstreamError>;

    /// Sends a notification, raw parameters, to a server with sessions. A modern server gets none.
    async fn notify(
        &self,
        _conversation: &Arc<Conversation>,
        _method: &str,
        _params: Option<&str>,
    ) -> Result<(), UpstreamError> {
        Ok(())
    }

    /// What the server says about itself, in the conversation's session where it has sessions: one is opened if there
    /// is none yet.
    async fn open(&self, _conversation: &Arc<Conversation>) -> Result<Opened, UpstreamError> {
        Err(UpstreamError::unavailable("it does not describe itself"))
    }

    /// Follows what the server says without being asked, until the receiver is dropped or the server ends it. What is
    /// said in a session of its own is heard only by that conversation.
    async fn listen(
        &self,
        _conversation: &Arc<Conversation>,
        _wanted: Wanted,
    ) -> Result<mpsc::Receiver<Announcement>, UpstreamError> {
        Err(UpstreamError::unavailable("it announces nothing"))
    }

    /// Ends the conversation's session, if the server has one.
    async fn close(&self, _conversation: &Arc<Conversation>) {}

    /// Ends sessions and processes. `grace` is what a process gets to end by itself.
    async fn shutdown(&self, grace: Duration);
}
