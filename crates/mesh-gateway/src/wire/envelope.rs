//! The JSON-RPC envelope: what a client sent, decoded no further than needed, and the messages we answer with.

use super::object::{RawObject, as_str};
use super::{depth, write_string};
use crate::rejection::Rejection;
use bytes::Bytes;
use std::borrow::Cow;

/// The id of a request, as the text it arrived in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(Box<str>);

impl RequestId {
    fn parse(json: &str) -> Option<Self> {
        let is_string = json.starts_with('"');
        let is_integer =
            !json.is_empty() && json.strip_prefix('-').unwrap_or(json).bytes().all(|b| b.is_ascii_digit());
        (is_string || is_integer).then(|| Self(json.into()))
    }

    /// As it arrived.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }
}

/// A message of a client.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// It wants an answer.
    Request { id: RequestId, method: Cow<'a, str>, params: RawObject<'a> },
    /// It wants none.
    Notification { method: Cow<'a, str>, params: RawObject<'a> },
    /// It answers something: id, and the result or the error, raw.
    Response { id: RequestId, result: Option<Cow<'a, str>>, error: Option<Cow<'a, str>> },
}

/// What was wrong with a body, and the id that the answer can carry.
#[derive(Debug)]
pub(crate) struct Undecodable {
    pub(crate) id: Option<RequestId>,
    pub(crate) rejection: Rejection,
}

impl From<Rejection> for Undecodable {
    fn from(rejection: Rejection) -> Self {
        Self { id: None, rejection }
    }
}

/// Decodes a body.
pub(crate) fn decode(body: &[u8], max_depth: usize) -> Result<Message<'_>, Undecodable> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Rejection::Parse(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    if depth::exceeds(body, max_depth) {
        return Err(Rejection::InvalidRequest(format!("JSON nested deeper than {max_depth}")).into());
    }
    if text.trim_start().starts_with('[') {
        return Err(Rejection::InvalidRequest(
            "batches are not supported: send one message per request".into(),
        )
        .into());
    }
    let mut envelope = RawObject::parse(text).map_err(|error| {
        if error.is_data() {
            Rejection::InvalidRequest(format!("not a JSON-RPC message: {error}"))
        } else {
            Rejection::Parse(error.to_string())
        }
    })?;
    let raw_id = envelope.take("id");
    let id = raw_id.as_deref().and_then(RequestId::parse);
    let invalid =
        |why: &str| Undecodable { id: id.clone(), rejection: Rejection::InvalidRequest(why.to_owned()) };

    if envelope.get("jsonrpc") != Some("\"2.0\"") {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    let Some(method) = envelope.take("method") else {
        let (result, error) = (envelope.take("result"), envelope.take("error"));
        let answers = raw_id.is_some() && (result.is_some() || error.is_some());
        return match id.clone() {
            Some(id) if answers => Ok(Message::Response { id, result, error }),
            // An answer to nothing.
            None if answers => {
                Err(Rejection::InvalidRequest("`id` must be a string or an integer".to_owned()).into())
            }
            _ => Err(invalid("`method` is missing")),
        };
    };
    let method = match method {
        Cow::Borrowed(json) => as_str(json),
        Cow::Owned(_) => None,
    }
    .ok_or_else(|| invalid("`method` must be a string"))?;
    let params = match envelope.take("params") {
        None => RawObject::default(),
        Some(Cow::Borrowed(json)) => RawObject::parse(json).map_err(|error| Undecodable {
            id: id.clone(),
            rejection: Rejection::InvalidParams(format!("`params`: {error}")),
        })?,
        Some(Cow::Owned(_)) => return Err(invalid("`params` must be an object")),
    };
    match (raw_id, id) {
        (None, _) => Ok(Message::Notification { method, params }),
        (Some(_), Some(id)) => Ok(Message::Request { id, method, params }),
        (Some(_), None) => {
            Err(Rejection::InvalidRequest("`id` must be a string or an integer".to_owned()).into())
        }
    }
}

/// A message with a result.
pub(crate) fn result(id: &RequestId, result: &[u8]) -> Bytes {
    let mut out = before_result(id, result.len() + 1);
    out.extend_from_slice(result);
    out.push(b'}');
    out.into()
}

/// What comes before a result in its message, with room for `more` bytes; `}` comes after it.
pub(crate) fn before_result(id: &RequestId, more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(more + id.0.len() + 40);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.0.as_bytes());
    out.extend_from_slice(br#","result":"#);
    out
}

/// A message with an error object that is forwarded as it is.
pub(crate) fn raw_error(id: Option<&RequestId>, error: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(error.len() + 64);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.map_or("null", |id| &*id.0).as_bytes());
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(error);
    out.push(b'}');
    out.into()
}

/// A message with an error of ours.
pub(crate) fn error(
    id: Option<&RequestId>,
    code: i32,
    message: &str,
    data: Option<&serde_json::Value>,
) -> Bytes {
    let mut object = format!(r#"{{"code":{code},"message":"#).into_bytes();
    write_string(&mut object, message);
    if let Some(data) = data {
        object.extend_from_slice(br#","data":"#);
        object.extend_from_slice(data.to_string().as_bytes());
    }
    object.push(b'}');
    raw_error(id, &object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> (Option<RequestId>, i32) {
        let undecodable = decode(body, 8).unwrap_err();
        (undecodable.id, undecodable.rejection.code())
    }

    #[test]
    fn a_request_keeps_the_text_of_its_id() {
        let body =
            br#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools\/call","params":{"name":"a"}}"#;
        let Message::Request { id, method, params } = decode(body, 8).unwrap() else { panic!() };
        assert_eq!(
            (&*id.0, &*method, params.get("name")),
            ("12345678901234567890", "tools/call", Some("\"a\""))
        );
        assert_eq!(result(&id, b"{}"), r#"{"jsonrpc":"2.0","id":12345678901234567890,"result":{}}"#);
    }

    #[test]
    fn every_kind_of_damage_has_its_error() {
        let seven = RequestId::parse("7");
        assert_eq!(refused(b"{\"jsonrpc\":\"2.0\",\"id\":7,"), (None, -32700));
        assert_eq!(refused(b"\xff\xfe"), (None, -32700));
        assert_eq!(refused(b""), (None, -32700));
        assert_eq!(refused(b"[]"), (None, -32600));
        assert_eq!(refused(b"7"), (None, -32600));
        assert_eq!(refused(br#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#), (seven.clone(), -32600));
        assert_eq!(refused(br#"{"jsonrpc":"2.0","id":7}"#), (seven.clone(), -32600));
        assert_eq!(refused(br#"{"jsonrpc":"2.0","id":7,"method":1}"#), (seven.clone(), -32600));
        assert_eq!(
            refused(br#"{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}"#),
            (seven.clone(), -32602)
        );
        assert_eq!(
            refused(br#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":1,"a":2}}"#),
            (seven, -32602)
        );
        assert_eq!(refused(br#"{"jsonrpc":"2.0","id":null,"method":"m"}"#), (None, -32600));
        assert_eq!(refused(br#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#), (None, -32600));
        assert_eq!(refused(br#"{"jsonrpc":"2.0","id":7,"id":8,"method":"m"}"#), (None, -32600));
        assert_eq!(refused(br#"{"a":[[[[[[[[1]]]]]]]]}"#), (None, -32600));
    }
}
