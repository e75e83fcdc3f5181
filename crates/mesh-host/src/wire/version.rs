//! Which version of A2A a request speaks (section 3.6).

use http::{HeaderMap, Uri};
use mesh_core::{A2aError, ErrorKind};

pub(crate) const HEADER: &str = "a2a-version";

/// What a request says about its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nothing, which means 0.3 (section 3.6.2).
    Nothing,
    /// 1.0, whatever the patch.
    V1,
    /// 0.3, whatever the patch: JSON-RPC only.
    V03,
    /// Something that is not spoken here.
    Other(&'a str),
}

impl<'a> Asked<'a> {
    /// Reads `Major.Minor`, with or without a patch.
    pub(crate) fn parse(text: &'a str) -> Self {
        let text = text.trim();
        let mut numbers = text.split('.');
        match (numbers.next(), numbers.next()) {
            (Some(""), None) => Self::Nothing,
            (Some("1"), Some("0")) => Self::V1,
            (Some("0"), Some("3")) => Self::V03,
            _ => Self::Other(text),
        }
    }

    /// From the header or else the query parameter (section 3.6.1).
    pub(crate) fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        let pairs = || uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let in_query = || pairs().find(|(name, _)| name.eq_ignore_ascii_case(HEADER)).map(|(_, value)| value);
        let in_header = headers.get(HEADER).map(|value| value.to_str().unwrap_or("not text"));
        Self::parse(in_header.or_else(in_query).unwrap_or_default())
    }
}

/// Lets a request pass that can only be one of 1.0.
pub(crate) fn only_v1(asked: Asked<'_>) -> Result<(), A2aError> {
    match asked {
        Asked::V1 => Ok(()),
        Asked::Nothing => Err(refusal("0.3, which a request without `A2A-Version` means,")),
        Asked::V03 => Err(refusal("0.3")),
        Asked::Other(asked) => Err(refusal(asked)),
    }
}

/// VersionNotSupportedError for a version.
pub(crate) fn refusal(asked: &str) -> A2aError {
    let shown: String = asked.chars().take(60).collect();
    let message = format!("A2A {shown} is not supported here; send `A2A-Version: 1.0`");
    A2aError::new(ErrorKind::VersionNotSupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_header_first_and_its_patch_does_not_matter() {
        let uri = Uri::from_static("/tasks?x=1&a2a-version=1.0.7");
        assert_eq!(Asked::of(&uri, &HeaderMap::new()), Asked::V1);
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(HEADER),
            http::HeaderValue::from_static(" 0.3 "),
        )]);
        assert_eq!(Asked::of(&uri, &headers), Asked::V03);
        assert_eq!(Asked::of(&Uri::from_static("/"), &HeaderMap::new()), Asked::Nothing);
        for other in ["1", "10.0", "v1.0", "1.1", "banana", ".", "1.00"] {
            assert_eq!(Asked::parse(other), Asked::Other(other));
        }
    }
}
