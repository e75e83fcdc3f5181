//! One endpoint of an upstream among several, and the requests that are under way there.

use super::held::{Guard, hold};
use super::{Answer, Answered, Outgoing, ResultText, Upstream, UpstreamError};
use crate::balance::{Picked, Verdict};
use crate::wire::object::RawObject;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// One endpoint.
pub(crate) struct Target {
    pub(super) upstream: Arc<dyn Upstream>,
    /// What names it in a pinned session.
    address: Box<str>,
    /// What names it in metrics and logs: no query, no credentials.
    pub(crate) label: Arc<str>,
    /// It answered in the modern revision last time.
    modern: AtomicBool,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// How a request to a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Result,
    Error,
    NotSent,
    Unavailable,
    BadAnswer,
    Timeout,
    Unauthorized,
    TooLarge,
    SessionLost,
    /// Nobody waited for the answer any more.
    Withdrawn,
}

impl Outcome {
    pub(crate) const ALL: [Self; 10] = [
        Self::Result,
        Self::Error,
        Self::NotSent,
        Self::Unavailable,
        Self::BadAnswer,
        Self::Timeout,
        Self::Unauthorized,
        Self::TooLarge,
        Self::SessionLost,
        Self::Withdrawn,
    ];

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
            Self::NotSent => "not_sent",
            Self::Unavailable => "unavailable",
            Self::BadAnswer => "bad_answer",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "too_large",
            Self::SessionLost => "session_lost",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(super) fn of(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::NotSent(_) => Self::NotSent,
            UpstreamError::Unavailable(_) => Self::Unavailable,
            UpstreamError::Unauthorized(_) => Self::Unauthorized,
            UpstreamError::BadAnswer(_) => Self::BadAnswer,
            UpstreamError::TooLarge { .. } => Self::TooLarge,
            UpstreamError::SessionLost => Self::SessionLost,
        }
    }

    /// What it says about who was asked.
    pub(super) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Result | Self::Error => Some(Verdict::Good),
            Self::NotSent | Self::Unavailable | Self::BadAnswer | Self::Timeout | Self::Unauthorized => {
                Some(Verdict::Bad)
            }
            Self::TooLarge | Self::SessionLost | Self::Withdrawn => None,
        }
    }
}

impl Target {
    pub(super) fn new(upstream: Arc<dyn Upstream>, address: &str, label: Arc<str>) -> Self {
        Self {
            upstream,
            address: normal(address),
            label,
            modern: AtomicBool::new(false),
            outcomes: Default::default(),
        }
    }

    pub(super) fn is_at(&self, address: &str) -> bool {
        *self.address == *address || self.address == normal(address)
    }

    /// How many requests ended in this way.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// Asks it something that says nothing but that it is there. Whatever it answers, it is.
    pub(super) async fn check(&self) -> Result<(), UpstreamError> {
        let method = if self.modern.load(Relaxed) { "server/discover" } else { "ping" };
        let answered = self.upstream.request(Outgoing::own(method, RawObject::default())).await?;
        self.modern.store(answered.modern, Relaxed);
        Ok(())
    }
}

/// An address in the one way in which it is compared.
fn normal(address: &str) -> Box<str> {
    reqwest::Url::parse(address).map_or_else(|_| address.into(), |url| url.as_str().into())
}

/// What may be shown of an address.
pub(super) fn shown(address: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(address) else { return "target".to_owned() };
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for addresses that cannot have any.
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// One request at one target. Dropped before its end, it was withdrawn, or the time was up.
pub(super) struct Attempt {
    picked: Picked<Target>,
    deadline: Option<Instant>,
    ended: bool,
}

impl Attempt {
    pub(super) fn new(picked: Picked<Target>, deadline: Option<Instant>) -> Self {
        Self { picked, deadline, ended: false }
    }

    /// Sends the request and waits for its answer, for no longer than `limit`; `idle` bounds a pause in a streamed result.
    pub(super) async fn run(
        mut self,
        outgoing: Outgoing<'_>,
        limit: Option<Duration>,
        idle: Duration,
    ) -> Result<Answered, UpstreamError> {
        let upstream = Arc::clone(&self.picked.target().upstream);
        let asked = upstream.request(outgoing);
        let result = match limit {
            None => asked.await,
            Some(limit) => match timeout(limit, asked).await {
                Ok(result) => result,
                Err(_) => {
                    self.end(Outcome::Timeout);
                    let why = format!("it did not answer within {} ms", limit.as_millis());
                    return Err(UpstreamError::unavailable(why));
                }
            },
        };
        match result.and_then(plausible) {
            Ok(Answered { answer, modern }) => {
                self.picked.target().modern.store(modern, Relaxed);
                let answer = match answer {
                    Answer::Result(text) => Answer::Result(hold(text, self, Some(idle))),
                    error @ Answer::Error(_) => {
                        self.end(Outcome::Error);
                        error
                    }
                };
                Ok(Answered { answer, modern })
            }
            Err(error) => {
                self.end(Outcome::of(&error));
                Err(error)
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.picked.target().outcomes[outcome as usize].fetch_add(1, Relaxed);
        if let Some(verdict) = outcome.verdict() {
            self.picked.judge(verdict);
        }
    }
}

/// Another target may do better than one whose result is none.
fn plausible(answered: Answered) -> Result<Answered, UpstreamError> {
    match &answered.answer {
        Answer::Result(ResultText::Whole(text)) if !text.starts_with(b"{") => {
            Err(UpstreamError::bad_answer("its result is not an object"))
        }
        _ => Ok(answered),
    }
}

impl Guard for Attempt {
    fn ended(&mut self, error: Option<&UpstreamError>) {
        self.end(error.map_or(Outcome::Result, Outcome::of));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.end(if late { Outcome::Timeout } else { Outcome::Withdrawn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_address_has_no_secrets() {
        assert_eq!(shown("http://me:pass@host:81/mcp/?key=secret#x"), "http://host:81/mcp");
        assert_eq!(shown("no address"), "target");
    }

    #[test]
    fn outcomes_are_counted_in_their_own_places() {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
        }
    }
}
