//! Values of `Mcp-Name` and `Mcp-Param-*`: plain, or Base64 between markers where plain is not possible.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

const START: &str = "=?base64?";
const END: &str = "?=";

/// The text that a header value stands for; `None` if it is neither plain nor well encoded.
pub(crate) fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?;
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t') {
        return None;
    }
    match text.strip_prefix(START).and_then(|rest| rest.strip_suffix(END)) {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
    }
}

/// The header value that stands for `text`.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let padded = text.starts_with(' ') || text.ends_with(' ');
    let looks_encoded = text.starts_with(START) && text.ends_with(END);
    let plain = printable && !padded && !looks_encoded;
    if plain { Cow::Borrowed(text) } else { Cow::Owned(format!("{START}{}{END}", STANDARD.encode(text))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode(text), value);
            assert_eq!(decode(value.as_bytes()).unwrap(), text);
        }
        assert_eq!(decode(b"=?base64?*?="), None);
        assert_eq!(decode("é".as_bytes()), None);
    }
}
