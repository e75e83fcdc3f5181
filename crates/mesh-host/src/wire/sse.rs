//! Event streams: each event once encoded in the log, here only framed (sections 3.5.2 and 9.4.2).

use super::envelope::{error, put_result};
use crate::subscribe::Subscription;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream;
use mesh_core::{A2aError, Seq};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

/// How long a stream may be silent before it shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The frames of a subscription as JSON-RPC answers to `id`.
pub(crate) fn frames(
    id: String,
    subscription: Subscription,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold((id, Some(subscription)), |(id, subscription)| async move {
        let mut subscription = subscription?;
        let mut frame = BytesMut::new();
        let go_on = match tokio::time::timeout(KEEP_ALIVE, subscription.next()).await {
            Err(_) => {
                frame.put_slice(b":\n\n");
                true
            }
            Ok(Ok(Some(events))) => {
                for event in events {
                    put_frame(&mut frame, &id, event.seq, &event.public);
                }
                true
            }
            Ok(Ok(None)) => return None,
            Ok(Err(reason)) => {
                tracing::error!(error = %reason, "a stream ends because the log cannot be read");
                frame.put_slice(b"data: ");
                frame.put_slice(&error(&id, &A2aError::internal()));
                frame.put_slice(b"\n\n");
                false
            }
        };
        Some((Ok(frame.freeze()), (id, go_on.then_some(subscription))))
    })
}

/// The SSE `id` is the number of the event: see `docs/event-log-extension.md`.
fn put_frame(frame: &mut BytesMut, id: &str, seq: Seq, public: &[u8]) {
    let _ = write!(frame, "id: {seq}\ndata: ");
    put_result(frame, id, &[public]);
    frame.put_slice(b"\n\n");
}
