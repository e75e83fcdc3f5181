//! Results, and what has to last as long as they do.

use super::{ResultText, UpstreamError};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::timeout;

/// Something that follows a result to its end: a place in a queue, a breaker's trial. Dropped before the end, the client
/// did not wait for it.
pub(super) trait Guard: Send + 'static {
    /// A piece came.
    fn piece(&mut self, _piece: &Bytes) {}

    /// The result is complete, or will never be.
    fn ended(&mut self, error: Option<&UpstreamError>);
}

/// Ties a guard to a result. `idle` is how long a piece of it may take, if that is bounded here.
pub(super) fn hold(text: ResultText, mut guard: impl Guard, idle: Option<Duration>) -> ResultText {
    let pieces = match text {
        ResultText::Whole(text) => {
            guard.piece(&text);
            guard.ended(None);
            return ResultText::Whole(text);
        }
        ResultText::Streamed(pieces) => pieces,
    };
    let state = Some((pieces, guard));
    let held = futures_util::stream::unfold(state, move |state| async move {
        let (mut pieces, mut guard) = state?;
        let next = match idle {
            Some(idle) => timeout(idle, pieces.next()).await.unwrap_or_else(|_| Some(Err(stalled(idle)))),
            None => pieces.next().await,
        };
        match next {
            Some(Ok(piece)) => {
                guard.piece(&piece);
                Some((Ok(piece), Some((pieces, guard))))
            }
            Some(Err(error)) => {
                guard.ended(Some(&error));
                Some((Err(error), None))
            }
            None => {
                guard.ended(None);
                None
            }
        }
    });
    ResultText::Streamed(held.boxed())
}

/// An answer that has begun makes no progress.
pub(in crate::upstream) fn stalled(idle: Duration) -> UpstreamError {
    UpstreamError::unavailable(format!("its answer made no progress for {} ms", idle.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Guard for Seen {
        fn piece(&mut self, piece: &Bytes) {
            self.0.lock().unwrap().push(String::from_utf8(piece.to_vec()).unwrap());
        }

        fn ended(&mut self, error: Option<&UpstreamError>) {
            self.0.lock().unwrap().push(error.map_or_else(|| "end".to_owned(), ToString::to_string));
        }
    }

    fn streamed(pieces: Vec<Result<Bytes, UpstreamError>>) -> ResultText {
        ResultText::Streamed(futures_util::stream::iter(pieces).boxed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_sees_every_piece_and_the_end_once() {
        let seen = Seen::default();
        let pieces = vec![Ok("a".into()), Ok("b".into())];
        assert_eq!(hold(streamed(pieces), seen.clone(), None).whole().await.unwrap(), "ab");
        assert_eq!(hold(ResultText::Whole("c".into()), seen.clone(), None).whole().await.unwrap(), "c");
        let broken = vec![Ok("d".into()), Err(UpstreamError::unavailable("x")), Ok("e".into())];
        assert!(hold(streamed(broken), seen.clone(), None).whole().await.is_err());
        let stuck = ResultText::Streamed(futures_util::stream::pending().boxed());
        assert!(hold(stuck, seen.clone(), Some(Duration::from_secs(2))).whole().await.is_err());
        drop(hold(streamed(vec![Ok("f".into())]), seen.clone(), None));
        let expected = [
            "a",
            "b",
            "end",
            "c",
            "end",
            "d",
            "is not available: x",
            "is not available: its answer made no progress for 2000 ms",
        ];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }
}
