//! Event streams: each event once encoded in the log, here only framed (sections 3.5.2, 9.4.2 and 11.7).

use super::body::status_json;
use super::envelope::{error, put_result};
use super::v03;
use crate::subscribe::Subscription;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream;
use http::StatusCode;
use mesh_core::{A2aError, Seq};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

/// What is around each event.
pub(crate) enum Framing {
    /// A JSON-RPC answer to this id.
    JsonRpc(String),
    /// The same with events as 0.3 has them.
    V03(String),
    /// Nothing: the HTTP+JSON binding.
    Bare,
}

impl Framing {
    /// Puts an event; false if the stream ends with it. The SSE `id` is its number: see `docs/event-log-extension.md`.
    fn put(&self, frame: &mut BytesMut, seq: Seq, public: &[u8]) -> bool {
        let (old, last) = match self {
            Self::V03(_) => match v03::event(public) {
                Ok((event, last)) => (Some(event), last),
                Err(reason) => return self.fail(frame, &reason),
            },
            _ => (None, false),
        };
        let _ = write!(frame, "id: {seq}\ndata: ");
        match self {
            Self::JsonRpc(id) | Self::V03(id) => put_result(frame, id, &[old.as_deref().unwrap_or(public)]),
            Self::Bare => frame.put_slice(public),
        }
        frame.put_slice(b"\n\n");
        !last
    }

    /// Ends a stream with an error; always false.
    fn fail(&self, frame: &mut BytesMut, reason: &dyn std::fmt::Display) -> bool {
        tracing::error!(error = %reason, "a stream ends because the log cannot be read");
        self.put_error(frame, &A2aError::internal());
        false
    }

    fn put_error(&self, frame: &mut BytesMut, reason: &A2aError) {
        match self {
            Self::JsonRpc(id) | Self::V03(id) => {
                frame.put_slice(b"data: ");
                frame.put_slice(&error(id, reason));
            }
            Self::Bare => {
                frame.put_slice(b"event: error\ndata: ");
                frame.put_slice(&status_json(StatusCode::INTERNAL_SERVER_ERROR, reason));
            }
        }
        frame.put_slice(b"\n\n");
    }
}

/// A stream that is nothing but an error.
pub(crate) fn refusal(framing: &Framing, reason: &A2aError) -> Bytes {
    let mut frame = BytesMut::new();
    framing.put_error(&mut frame, reason);
    frame.freeze()
}

/// The frames of a subscription; a comment whenever it was silent for `keep_alive`.
pub(crate) fn frames(
    framing: Framing,
    subscription: Subscription,
    keep_alive: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold((framing, Some(subscription)), move |(framing, subscription)| async move {
        let mut subscription = subscription?;
        let mut frame = BytesMut::new();
        let go_on = match tokio::time::timeout(keep_alive, subscription.next()).await {
            Err(_) => {
                frame.put_slice(b":\n\n");
                true
            }
            Ok(Ok(Some(events))) => {
                events.iter().all(|event| framing.put(&mut frame, event.seq, &event.public))
            }
            Ok(Ok(None)) => return None,
            Ok(Err(reason)) => framing.fail(&mut frame, &reason),
        };
        Some((Ok(frame.freeze()), (framing, go_on.then_some(subscription))))
    })
}
