//! The JSON-RPC 2.0 envelope. What is inside is decoded by the operation; what goes out is spliced, not re-modelled.

use super::body::error_info;
use bytes::{BufMut as _, Bytes, BytesMut};
use mesh_core::{A2aError, ErrorKind};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request whose parameters are not looked at yet.
pub(crate) struct Request<'a> {
    /// The id as it came: a string, a number or null.
    pub(crate) id: Cow<'a, str>,
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// An id that is null is not one that is missing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

/// An envelope that cannot be used, with the id to answer to.
pub(crate) struct BadEnvelope {
    pub(crate) id: String,
    pub(crate) error: A2aError,
}

impl BadEnvelope {
    pub(crate) fn new(id: &str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { id: id.to_owned(), error: A2aError::new(kind, message) }
    }
}

/// Opens an envelope whose JSON may be `depth` levels deep at most.
pub(crate) fn open(body: &[u8], depth: usize) -> Result<Request<'_>, BadEnvelope> {
    if let Err(at) = check_depth(body, depth) {
        let message = format!("the request is nested deeper than {depth} levels at byte {at}");
        return Err(BadEnvelope::new("null", ErrorKind::InvalidRequest, message));
    }
    if body.trim_ascii_start().first() == Some(&b'[') {
        let message = "batches are not supported; send one request per POST";
        return Err(BadEnvelope::new("null", ErrorKind::InvalidRequest, message));
    }
    // The decoder does not look into text that it skips.
    let text = std::str::from_utf8(body)
        .map_err(|_| BadEnvelope::new("null", ErrorKind::Parse, "the body is not UTF-8"))?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        let kind = if error.is_data() { ErrorKind::InvalidRequest } else { ErrorKind::Parse };
        BadEnvelope::new("null", kind, format!("the body is not a JSON-RPC request: {error}"))
    })?;
    let id = match fields.id.map(RawValue::get) {
        Some(id)
            if id == "null" || id.starts_with(['"', '-']) || id.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            id
        }
        Some(_) => {
            let message = "id: neither a string nor a number nor null";
            return Err(BadEnvelope::new("null", ErrorKind::InvalidRequest, message));
        }
        None => {
            let message = "id: missing; A2A has no notifications, every request is answered";
            return Err(BadEnvelope::new("null", ErrorKind::InvalidRequest, message));
        }
    };
    let text =
        |field: Option<&RawValue>| field.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if text(fields.jsonrpc).as_deref() != Some("2.0") {
        return Err(BadEnvelope::new(id, ErrorKind::InvalidRequest, "jsonrpc: must be \"2.0\""));
    }
    let method = text(fields.method)
        .ok_or_else(|| BadEnvelope::new(id, ErrorKind::InvalidRequest, "method: missing or not a string"))?;
    Ok(Request { id: Cow::Borrowed(id), method: Cow::Owned(method), params: fields.params })
}

/// Finds the first byte where objects and arrays are nested deeper than `limit`.
pub(crate) fn check_depth(body: &[u8], limit: usize) -> Result<(), usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return Err(at);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// `{"jsonrpc":"2.0","id":…,"result":…}` around a result that is JSON already.
pub(crate) fn result(id: &str, result: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(id.len() + result.len() + 40);
    put_result(&mut body, id, &[result]);
    body.freeze()
}

/// The same into a buffer, with the result in pieces.
pub(crate) fn put_result(body: &mut BytesMut, id: &str, result: &[&[u8]]) {
    body.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.put_slice(id.as_bytes());
    body.put_slice(b",\"result\":");
    for piece in result {
        body.put_slice(piece);
    }
    body.put_u8(b'}');
}

/// The error answer (section 9.5).
pub(crate) fn error(id: &str, error: &A2aError) -> Bytes {
    let mut object = json!({ "code": error.kind.json_rpc_code(), "message": error.message });
    if error.kind.reason().is_some() {
        object["data"] = json!([error_info(error)]);
    }
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{object}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(body: &str) -> ErrorKind {
        open(body.as_bytes(), 8).map(|_| ()).unwrap_err().error.kind
    }

    #[test]
    fn what_is_no_json_is_a_parse_error_and_what_is_no_request_is_an_invalid_one() {
        assert_eq!(kind_of("{\"jsonrpc\":"), ErrorKind::Parse);
        assert_eq!(kind_of(""), ErrorKind::Parse);
        for body in [
            "[]",
            "7",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[[[[[[[[[]]]]]]]]]}"#,
        ] {
            assert_eq!(kind_of(body), ErrorKind::InvalidRequest, "{body}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused_also_where_nobody_reads_it() {
        let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GetTask\",\"x\":\"\xbf\"}";
        let refusal = open(body, 8).map(|_| ()).unwrap_err();
        assert_eq!(
            (refusal.error.kind, &*refusal.error.message),
            (ErrorKind::Parse, "the body is not UTF-8")
        );
    }

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        for id in ["1", "-1.50", "\"a\\u0062\"", "null", "12345678901234567890123"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"GetTask"}}"#);
            let request = open(body.as_bytes(), 8).ok().unwrap();
            assert_eq!(request.id, id);
            assert!(
                result(&request.id, b"{}").starts_with(format!(r#"{{"jsonrpc":"2.0","id":{id},"#).as_bytes())
            );
        }
    }

    #[test]
    fn brackets_inside_strings_do_not_count_as_depth() {
        assert_eq!(check_depth(br#"{"a":"[[[[\"[[[["}"#, 1), Ok(()));
        assert_eq!(check_depth(b"[[[", 2), Err(2));
    }
}
