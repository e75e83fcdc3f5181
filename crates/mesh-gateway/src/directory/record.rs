//! What an agent says when it registers itself, and what is kept of that.

use crate::directory::site::{Site, Source};
use http::HeaderMap;
use mesh_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// Longest text of a description, and of a tag.
const LONGEST: usize = 4096;
/// Most tags.
const TAGS: usize = 64;
/// Shortest lease.
const SHORTEST: Duration = Duration::from_secs(5);

/// The body of `PUT /agents/{name}`: either `url` or `card`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its base address, where its card is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Where its card is, from the base address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) card_path: Option<String>,
    /// Its card, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) card: Option<Box<RawValue>>,
    /// What it is for, until its card is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// For how many seconds it counts, unless it is said again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease_seconds: Option<u64>,
}

/// What is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) entry: Entry,
    /// Who said it.
    pub(crate) principal: String,
    /// Until when it counts.
    pub(crate) expires: Timestamp,
}

impl Entry {
    /// Reads the body of a request, and checks what can be checked without asking anybody.
    pub(crate) fn read(body: &[u8], check: impl Fn(&url::Url) -> Result<(), String>) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let url = |field: &str, text: &str| {
            let url = url::Url::parse(text).map_err(|error| format!("`{field}` is no URL: {error}"))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(format!("`{field}` must be http or https"));
            }
            check(&url).map_err(|why| format!("`{field}` {why}"))
        };
        match (&entry.url, &entry.card) {
            (Some(text), None) => url("url", text)?,
            (None, Some(card)) => {
                let card: serde_json::Value =
                    serde_json::from_str(card.get()).map_err(|error| format!("`card`: {error}"))?;
                let interfaces = super::interfaces::read(&card);
                if interfaces.is_empty() {
                    return Err("`card` has no interface that this gateway knows".to_owned());
                }
                for interface in interfaces.iter().filter(|interface| interface.url.contains("://")) {
                    url("card.supportedInterfaces.url", &interface.url)?;
                }
            }
            _ => return Err("exactly one of `url` and `card` must be there".to_owned()),
        }
        if entry.card_path.as_ref().is_some_and(|path| !path.starts_with('/') || entry.url.is_none()) {
            return Err("`cardPath` must begin with `/`, and belongs to `url`".to_owned());
        }
        let too_long = |text: &String| text.len() > LONGEST;
        if entry.description.as_ref().is_some_and(too_long) || entry.tags.iter().any(too_long) {
            return Err(format!("texts may have {LONGEST} bytes"));
        }
        if entry.tags.len() > TAGS {
            return Err(format!("`tags` may have {TAGS} of them"));
        }
        Ok(entry)
    }

    /// For how long it counts.
    pub(crate) fn lease(&self, usual: Duration, longest: Duration) -> Duration {
        let asked = self.lease_seconds.map_or(usual, Duration::from_secs);
        asked.clamp(SHORTEST.min(longest), longest)
    }

    /// Where its agent is.
    pub(crate) fn site(&self) -> Site {
        Site {
            source: Source::Registration,
            host: false,
            targets: self.url.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            card_path: self.card_path.clone(),
            headers: HeaderMap::new(),
            card_keys: Vec::new(),
            card: self.card.as_ref().map(|card| card.get().to_owned()),
            description: self.description.clone(),
            tags: self.tags.clone(),
        }
    }
}

/// What names of agents look like, as in the mesh file.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(good)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Entry, String> {
        Entry::read(body.as_bytes(), |url| {
            if url.host_str() == Some("10.0.0.1") { Err("is private".to_owned()) } else { Ok(()) }
        })
    }

    #[test]
    fn an_entry_says_where_its_agent_is_in_exactly_one_way() {
        assert!(read(r#"{"url":"https://a.example/"}"#).is_ok());
        assert!(read(r#"{"card":{"url":"https://a.example/"},"tags":["x"],"leaseSeconds":9}"#).is_ok());
        for (body, why) in [
            ("{}", "exactly one"),
            (r#"{"url":"https://a/","card":{"url":"https://a/"}}"#, "exactly one"),
            (r#"{"url":"a"}"#, "`url` is no URL"),
            (r#"{"url":"file:///x"}"#, "http"),
            (r#"{"url":"https://10.0.0.1/"}"#, "`url` is private"),
            (r#"{"card":{"url":"https://10.0.0.1/"}}"#, "is private"),
            (r#"{"card":{}}"#, "no interface"),
            (r#"{"url":"https://a/","cardPath":"x"}"#, "cardPath"),
            (r#"{"url":"https://a/","lease":"x"}"#, "unknown field `lease`"),
            ("[]", ""),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn a_lease_is_within_bounds() {
        let lease = |asked| {
            let entry = Entry { lease_seconds: asked, ..Entry::default() };
            entry.lease(Duration::from_secs(60), Duration::from_secs(3600)).as_secs()
        };
        assert_eq!((lease(None), lease(Some(10)), lease(Some(0)), lease(Some(u64::MAX))), (60, 10, 5, 3600));
    }

    #[test]
    fn names_are_those_of_the_mesh_file() {
        for name in ["a", "sales", "sales-2", "a-"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "2a", "A", "a_b", "a.b", "ü", "a/b", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
