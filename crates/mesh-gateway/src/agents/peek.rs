//! What is looked at of JSON-RPC messages that are only passed on.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of a request that the door has to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Peeked<'a> {
    pub(crate) method: Option<Cow<'a, str>>,
    /// As it was written.
    pub(crate) id: Option<&'a str>,
}

/// Why it is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotARequest {
    /// It is no JSON.
    Json(String),
    /// It is no object, or two readers could find different methods in it.
    Request(String),
}

/// Finds method and id of a request. The rest is walked over, not read.
pub(crate) fn request(body: &[u8]) -> Result<Peeked<'_>, NotARequest> {
    let mut peeked = Peeked::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let walked = Walk(&mut peeked).deserialize(&mut json).and_then(|()| json.end());
    match walked {
        Err(error) if error.is_data() => Err(NotARequest::Request(error.to_string())),
        Err(error) => Err(NotARequest::Json(error.to_string())),
        Ok(()) if peeked.method.is_none() => Err(NotARequest::Request("`method` is missing".to_owned())),
        Ok(()) => Ok(peeked),
    }
}

struct Walk<'p, 'a>(&'p mut Peeked<'a>);

impl<'a> DeserializeSeed<'a> for Walk<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON-RPC request")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            // Some readers do not tell capitals apart, some take the first of two and some the last: then one that is
            // not the agent's would decide what is asked for.
            if name.eq_ignore_ascii_case("method") {
                let Text(method) = map.next_value()?;
                if self.0.method.replace(method).is_some() || name != "method" {
                    return Err(A::Error::custom("`method` must be there once, in small letters"));
                }
            } else if name == "id" {
                let id: &RawValue = map.next_value()?;
                self.0.id = Some(id.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Text, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// Whether an answer is an error, as far as its first piece says: the first of `result` and `error` that is found at the
/// top of the object. What it does not say counts as no error.
pub(crate) fn is_error(piece: &[u8]) -> bool {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = piece.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some(length) = text_length(&piece[at..]) else { return false };
                let text = &piece[at + 1..at + length - 1];
                at += length;
                let named = piece[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                match text {
                    b"error" if depth == 1 && named => return true,
                    b"result" if depth == 1 && named => return false,
                    _ => continue,
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// How many bytes a text takes with its quotes; `None` if it does not end here.
fn text_length(from: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match from.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_id_are_found_wherever_they_are() {
        for body in [
            r#"{"jsonrpc":"2.0","id":"a\"b","method":"GetTask","params":{"method":"x","id":2}}"#,
            r#" { "params" : [ {"id":1} ], "m\u0065thod" : "GetTask" , "id":"a\"b" } "#,
        ] {
            let peeked = request(body.as_bytes()).unwrap();
            assert_eq!((peeked.method.as_deref(), peeked.id), (Some("GetTask"), Some(r#""a\"b""#)), "{body}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for body in [
            r#"{"method":"GetTask","method":"SendMessage"}"#,
            r#"{"method":"GetTask","Method":"SendMessage"}"#,
            r#"{"METHOD":"GetTask"}"#,
            r#"[{"method":"GetTask"}]"#,
            r#"{"method":1}"#,
            r#"{"id":1}"#,
            "1",
        ] {
            assert!(matches!(request(body.as_bytes()), Err(NotARequest::Request(_))), "{body}");
        }
        for body in ["", "{", r#"{"method":"GetTask"} x"#, r#"{"method":"GetTask","params":{]}"#] {
            assert!(matches!(request(body.as_bytes()), Err(NotARequest::Json(_))), "{body}");
        }
    }

    #[test]
    fn an_error_is_told_from_a_result_by_the_first_piece() {
        assert!(is_error(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1"#));
        assert!(is_error(br#"{"error" : {}}"#));
        for fine in [
            &br#"{"jsonrpc":"2.0","id":"error","result":{"error":1}}"#[..],
            br#"{"id":{"error":1},"result":"#,
            br#"{"id":"error"#,
            br#"{"id":"\"error\":"}"#,
            b"",
            b"error",
        ] {
            assert!(!is_error(fine), "{}", String::from_utf8_lossy(fine));
        }
    }
}
