//! A large result that is passed on while it arrives.

use super::link::Body;
use super::session::HttpSession;
use crate::upstream::{ResultText, UpstreamError};
use crate::wire::splice::Splicer;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Where the answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// With the body.
    End,
    /// With the line: it is the data of an event.
    LineEnd,
}

/// What is left of a result.
pub(super) struct Pieces {
    splicer: Splicer,
    first: Option<Bytes>,
    /// `None` after the end.
    body: Option<Body>,
    left: usize,
    limit: usize,
    until: Until,
    /// As long as its result comes the session is in use.
    _session: Arc<HttpSession>,
}

impl Pieces {
    pub(super) fn new(
        splicer: Splicer,
        first: Bytes,
        body: Body,
        limit: usize,
        until: Until,
        session: Arc<HttpSession>,
    ) -> Self {
        let left = limit.saturating_sub(first.len());
        Self { splicer, first: Some(first), body: Some(body), left, limit, until, _session: session }
    }

    pub(super) fn into_text(self) -> ResultText {
        let pieces = stream::unfold(self, |mut pieces| async move {
            let next = pieces.next().await?;
            Some((next, pieces))
        });
        ResultText::Streamed(pieces.boxed())
    }

    async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            let body = self.body.as_mut()?;
            let piece = match body.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if self.until == Until::End => return self.finish(),
                Ok(None) => return self.fail(UpstreamError::unavailable("its stream ended in the answer")),
                Err(error) => return self.fail(error),
            };
            let line_end = match self.until {
                Until::LineEnd => piece.iter().position(|b| matches!(b, b'\n' | b'\r')),
                Until::End => None,
            };
            let part = piece.slice(..line_end.unwrap_or(piece.len()));
            let found = match self.splicer.push(&part) {
                Ok(range) => part.slice(range),
                Err(damage) => return self.fail(UpstreamError::bad_answer(damage.to_string())),
            };
            match self.left.checked_sub(found.len()) {
                Some(left) => self.left = left,
                None => return self.fail(UpstreamError::TooLarge { limit: self.limit }),
            }
            if line_end.is_some()
                && let Some(failure) = self.finish()
            {
                return Some(failure);
            }
            if !found.is_empty() {
                return Some(Ok(found));
            }
        }
    }

    /// The answer is over: it must be whole and ours.
    fn finish(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        if let Some(body) = self.body.take() {
            body.drain();
        }
        self.splicer.finish().err().map(|damage| Err(UpstreamError::bad_answer(damage.to_string())))
    }

    fn fail(&mut self, error: UpstreamError) -> Option<Result<Bytes, UpstreamError>> {
        self.body = None;
        Some(Err(error))
    }
}
