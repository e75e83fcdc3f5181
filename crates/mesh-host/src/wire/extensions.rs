//! Which extensions a client asks for (section 3.2.6): URIs with commas between them, in headers of one name or in several.

use http::HeaderMap;

/// Over HTTP a header, in gRPC metadata.
const HEADER: &str = "a2a-extensions";

/// Whether a request asks for an extension.
pub(crate) fn asks_for(headers: &HeaderMap, uri: &str) -> bool {
    let values = headers.get_all(HEADER).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|asked| asked.trim() == uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_extension_is_found_in_any_header_of_the_name() {
        let mut headers = HeaderMap::new();
        assert!(!asks_for(&headers, "urn:a"));
        for value in ["urn:x, urn:a", "urn:b"] {
            headers.append(HEADER, HeaderValue::from_static(value));
        }
        headers.append(HEADER, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(asks_for(&headers, "urn:a") && asks_for(&headers, "urn:b"));
        assert!(!asks_for(&headers, "urn:c") && !asks_for(&headers, "urn"));
    }
}
