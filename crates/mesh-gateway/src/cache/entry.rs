//! An answer as it is kept.

use crate::wire::object::RawObject;
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

/// A result, and for how long it holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Raw, as it came.
    pub(crate) result: Bytes,
    /// It was given by a modern server.
    pub(crate) modern: bool,
    pub(crate) stored: Instant,
    pub(crate) until: Instant,
    /// It tells the client how long it holds, so that has to be corrected.
    says_ttl: bool,
}

/// What a result says about being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) ttl: Option<Duration>,
    pub(crate) public: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek {
    #[serde(default)]
    result_type: Option<serde_json::Value>,
    #[serde(default)]
    is_error: Option<serde_json::Value>,
    #[serde(default)]
    ttl_ms: Option<serde_json::Value>,
    #[serde(default)]
    cache_scope: Option<serde_json::Value>,
}

/// Whether a result may be kept at all: it is complete and no error. If so, what it says about it.
pub(crate) fn keepable(result: &[u8]) -> Option<Hints> {
    let peek: Peek = serde_json::from_slice(result).ok().filter(|_| result.starts_with(b"{"))?;
    let complete = peek.result_type.is_none_or(|kind| kind == "complete");
    let good = peek.is_error.is_none_or(|error| error == false);
    let ttl = peek.ttl_ms.as_ref().and_then(serde_json::Value::as_f64).filter(|ttl| *ttl >= 0.0);
    let ttl = ttl.and_then(|ttl| Duration::try_from_secs_f64(ttl / 1000.0).ok());
    let public = peek.cache_scope.is_some_and(|scope| scope == "public");
    (complete && good).then_some(Hints { ttl, public })
}

impl Entry {
    pub(crate) fn new(result: Bytes, modern: bool, hints: Hints, ttl: Duration) -> Self {
        let stored = Instant::now();
        // A year, which no answer is kept anyway.
        let until = stored + ttl.min(Duration::from_secs(365 * 24 * 3600));
        Self { result, modern, stored, until, says_ttl: hints.ttl.is_some() }
    }

    /// What a caller gets now: the result as it came, but for the time that it still holds.
    pub(crate) fn served(&self, now: Instant) -> Bytes {
        let text = std::str::from_utf8(&self.result).ok().filter(|_| self.says_ttl);
        let Some(mut object) = text.and_then(|text| RawObject::parse_lenient(text).ok()) else {
            return self.result.clone();
        };
        object.set("ttlMs", self.until.saturating_duration_since(now).as_millis().to_string());
        object.to_text().into()
    }

    /// Bytes that it takes, about.
    pub(crate) fn weight(&self) -> usize {
        self.result.len() + OVERHEAD
    }
}

/// What an entry takes besides its text: key, times, places in maps.
const OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_results_without_error_are_kept() {
        let none = Hints { ttl: None, public: false };
        assert_eq!(keepable(br#"{"content":[]}"#), Some(none));
        assert_eq!(keepable(br#"{"isError":false,"resultType":"complete"}"#), Some(none));
        let hinted = keepable(br#"{"ttlMs":1500,"cacheScope":"public"}"#).unwrap();
        assert_eq!(hinted, Hints { ttl: Some(Duration::from_millis(1500)), public: true });
        assert_eq!(keepable(br#"{"ttlMs":-1,"cacheScope":"private"}"#), Some(none));
        for refused in [
            &br#"{"isError":true}"#[..],
            br#"{"isError":"yes"}"#,
            br#"{"resultType":"input_required"}"#,
            br#"{"resultType":"task"}"#,
            b"[]",
            b"{",
        ] {
            assert_eq!(keepable(refused), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_that_is_left_changes() {
        let text = r#"{"contents":[ 1.0 ],"ttlMs":60000,"x":1}"#;
        let hints = keepable(text.as_bytes()).unwrap();
        let entry = Entry::new(text.into(), true, hints, Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(entry.served(Instant::now()), r#"{"contents":[ 1.0 ],"ttlMs":40000,"x":1}"#);
        let plain = r#"{"contents":[ 1.0 ] }"#;
        let entry = Entry::new(plain.into(), true, keepable(plain.as_bytes()).unwrap(), Duration::ZERO);
        assert_eq!(entry.served(Instant::now()), plain);
    }
}
