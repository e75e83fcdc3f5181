//! The body of an answer on its way: never held, only watched.

use super::forward::Held;
use super::observed::ObservedRequest;
use super::peek;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use mesh_policy::Outcome;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Until when the next piece of a body must come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// All of it until then.
    Until(Instant),
    /// The next piece within this time after the last.
    Silent(Duration),
}

/// What its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What the status of HTTP said.
    Status(Outcome),
    /// What the first piece of JSON-RPC says.
    FirstPiece,
    /// What the trailers of gRPC say.
    Trailers,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Passes pieces and trailers on as they come, when the client takes them. When the client leaves, this is dropped, and
/// with it the request to the agent.
pub(crate) struct Relayed {
    body: reqwest::Body,
    limit: Limit,
    last: Instant,
    timer: Pin<Box<Sleep>>,
    verdict: Verdict,
    left: Option<u64>,
    observed: ObservedRequest,
    _held: Held,
}

impl Relayed {
    pub(crate) fn new(
        body: reqwest::Body,
        length: Option<u64>,
        limit: Limit,
        verdict: Verdict,
        observed: ObservedRequest,
        held: Held,
    ) -> Self {
        let last = Instant::now();
        let timer = Box::pin(sleep_until(due(limit, last)));
        let mut relayed = Self { body, limit, last, timer, verdict, left: length, observed, _held: held };
        if relayed.is_over() {
            relayed.end();
        }
        relayed
    }

    fn is_over(&self) -> bool {
        self.body.is_end_stream() || self.left == Some(0)
    }

    fn end(&mut self) {
        let outcome = match self.verdict {
            Verdict::Status(outcome) => outcome,
            Verdict::FirstPiece | Verdict::Trailers => Outcome::Ok,
        };
        self.observed.close(outcome, None);
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        self.last = Instant::now();
        if let Some(piece) = frame.data_ref() {
            if self.verdict == Verdict::FirstPiece && !piece.is_empty() {
                let error = peek::is_error(piece);
                self.verdict = Verdict::Status(if error { Outcome::AgentError } else { Outcome::Ok });
            }
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        } else if let Some(trailers) = frame.trailers_ref() {
            if self.verdict == Verdict::Trailers {
                self.verdict = Verdict::Status(grpc_outcome(trailers).unwrap_or(Outcome::Ok));
            }
            self.left = Some(0);
        }
        if self.is_over() {
            self.end();
        }
    }

    /// Whether the time is up. The timer is only moved when it has run out, not for each piece.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let due = due(self.limit, self.last);
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

fn due(limit: Limit, last: Instant) -> Instant {
    match limit {
        Limit::Until(end) => end,
        Limit::Silent(time) => last + time,
    }
}

/// What the status of gRPC says, if it is there: with the head of an answer without messages, or behind the last one.
pub(crate) fn grpc_outcome(headers: &HeaderMap) -> Option<Outcome> {
    let status = headers.get("grpc-status")?;
    Some(if status == "0" { Outcome::Ok } else { Outcome::AgentError })
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.passed(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.observed.close(Outcome::UpstreamUnavailable, Some("BROKEN_OFF"));
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => this.poll_late(cx).map(|()| {
                this.observed.close(Outcome::Timeout, Some("TIMEOUT"));
                Some(Err("the agent was silent for too long".into()))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
