//! How deep JSON nests, without parsing it.

/// Whether arrays and objects nest deeper than `limit` anywhere in `json`. Strings are skipped; anything else that is
/// not JSON is left for the parser to find.
pub(crate) fn exceeds(json: &[u8], limit: usize) -> bool {
    let mut depth = 0usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn only_real_nesting_counts() {
        assert!(!exceeds(br#"{"a":[1,[2]]}"#, 3));
        assert!(exceeds(br#"{"a":[1,[2]]}"#, 2));
        assert!(!exceeds(br#"{"a":"[[[[[\"[[["}"#, 1));
        assert!(exceeds(&b"[".repeat(1_000_000), 64));
        assert!(!exceeds(br#"]]]]{"a":1}"#, 1));
    }
}
