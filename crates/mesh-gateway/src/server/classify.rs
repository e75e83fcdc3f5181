//! What an answer is, and what of it changes for the client's revision: no more than `resultType` and the hints for caches, which a
//! modern client must find and one with a handshake must not.

use super::Outcome;
use crate::upstream::{Answer, Answered, ResultText, UpstreamError};
use crate::wire::object::RawObject;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;

/// An answer in the client's revision, and how it counts.
#[derive(Debug)]
pub(super) struct Classified {
    pub(super) reply: Outcome,
    pub(super) outcome: mesh_policy::Outcome,
    pub(super) kind: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek<'a> {
    #[serde(default, borrow)]
    result_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    is_error: serde_json::Value,
}

/// A result that asks the client for something (2026-07-28).
pub(super) struct InputRequired(pub(super) Bytes);

/// Looks at an answer. `Err(Ok(_))`: it asks for input that a client with a handshake gives otherwise. `hinted`: a modern client finds
/// hints for its cache in such a result.
pub(super) async fn classify(
    answered: Answered,
    modern: bool,
    hinted: bool,
) -> Result<Classified, Result<InputRequired, UpstreamError>> {
    let result = match answered.answer {
        Answer::Error(error) => {
            let (kind, outcome) = (Some("upstream_error"), mesh_policy::Outcome::ProtocolError);
            return Ok(Classified { reply: Outcome::Error(error), outcome, kind });
        }
        // Too large to be looked at: only what comes first is changed, and a modern server's is collected for an old client.
        Answer::Result(ResultText::Streamed(pieces)) if modern || !answered.modern => {
            let pieces = if modern && !answered.modern { typed(pieces, hinted) } else { pieces };
            let reply = Outcome::Result(ResultText::Streamed(pieces));
            return Ok(Classified { reply, outcome: mesh_policy::Outcome::Ok, kind: None });
        }
        Answer::Result(result) => result.whole().await.map_err(Err)?,
    };
    let peek: Peek<'_> = serde_json::from_slice(&result)
        .ok()
        .filter(|_| result.starts_with(b"{"))
        .ok_or_else(|| Err(UpstreamError::bad_answer("its result is not an object")))?;
    let (outcome, kind) = match peek.is_error.as_bool() {
        Some(true) => (mesh_policy::Outcome::ToolError, Some("tool_error")),
        _ => (mesh_policy::Outcome::Ok, None),
    };
    let result = match (modern, peek.result_type.as_deref()) {
        (true, None) => with_result_type(&result, hinted),
        (false, Some("input_required")) if answered.modern => return Err(Ok(InputRequired(result.clone()))),
        (false, Some(_)) if answered.modern => without_modern_members(&result),
        _ => result.clone(),
    };
    Ok(Classified { reply: Outcome::Result(result.into()), outcome, kind })
}

/// What a modern result begins with. A server that does not know of caches allows none.
fn beginning(hinted: bool) -> &'static str {
    if hinted {
        r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private""#
    } else {
        r#"{"resultType":"complete""#
    }
}

fn with_result_type(result: &Bytes, hinted: bool) -> Bytes {
    let rest = &result[1..];
    let comma = if rest.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    [beginning(hinted).as_bytes(), comma.as_bytes(), rest].concat().into()
}

/// The same for a result in pieces. One that is streamed is large: not empty.
fn typed(
    pieces: BoxStream<'static, Result<Bytes, UpstreamError>>,
    hinted: bool,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let mut begun = false;
    let typed = pieces.flat_map(move |piece| {
        let pieces = match piece {
            Ok(mut piece) if !begun && piece.starts_with(b"{") => {
                begun = true;
                let rest = piece.split_off(1);
                vec![
                    Ok(Bytes::from_static(beginning(hinted).as_bytes())),
                    Ok(Bytes::from_static(b",")),
                    Ok(rest),
                ]
            }
            piece => vec![piece],
        };
        stream::iter(pieces)
    });
    typed.boxed()
}

fn without_modern_members(result: &Bytes) -> Bytes {
    let object = std::str::from_utf8(result).ok().and_then(|text| RawObject::parse_lenient(text).ok());
    let Some(mut object) = object else { return result.clone() };
    for member in ["resultType", "ttlMs", "cacheScope"] {
        object.take(member);
    }
    object.to_text().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(text: &'static str) -> Answer {
        Answer::Result(Bytes::from_static(text.as_bytes()).into())
    }

    async fn text(reply: Outcome) -> String {
        match reply {
            Outcome::Result(result) => String::from_utf8(result.whole().await.unwrap().to_vec()).unwrap(),
            _ => panic!(),
        }
    }

    async fn shaped(result: &'static str, from_modern: bool, to_modern: bool) -> String {
        let answered = Answered { answer: result_of(result), modern: from_modern };
        text(classify(answered, to_modern, false).await.ok().unwrap().reply).await
    }

    #[tokio::test]
    async fn a_result_changes_only_where_the_generations_differ() {
        let plain = r#"{"content":[], "x":1.0}"#;
        let typed = r#"{"resultType":"complete","content":[ ],"ttlMs":5,"x":1.0}"#;
        assert_eq!(shaped(plain, false, false).await, plain);
        assert_eq!(shaped(typed, true, true).await, typed);
        assert_eq!(shaped(typed, false, false).await, typed);
        assert_eq!(shaped(plain, false, true).await, r#"{"resultType":"complete","content":[], "x":1.0}"#);
        assert_eq!(shaped("{ }", false, true).await, r#"{"resultType":"complete" }"#);
        assert_eq!(shaped(typed, true, false).await, r#"{"content":[ ],"x":1.0}"#);
        let asks = r#"{"resultType":"input_required","requestState":"s"}"#;
        assert_eq!(shaped(asks, true, true).await, asks);
        assert!(matches!(
            classify(Answered { answer: result_of(asks), modern: true }, false, false).await,
            Err(Ok(InputRequired(_)))
        ));
    }

    #[tokio::test]
    async fn a_streamed_result_is_typed_at_its_beginning() {
        let pieces = ["{\"a\":", "1}"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        let streamed = Answer::Result(ResultText::Streamed(stream::iter(pieces).boxed()));
        let answered = Answered { answer: streamed, modern: false };
        let reply = classify(answered, true, false).await.ok().unwrap().reply;
        assert_eq!(text(reply).await, r#"{"resultType":"complete","a":1}"#);
    }

    #[tokio::test]
    async fn an_answer_counts_as_what_it_is() {
        let count = async |answer| {
            classify(Answered { answer, modern: false }, false, false).await.ok().map(|c| (c.outcome, c.kind))
        };
        let (ok, failed) = (mesh_policy::Outcome::Ok, mesh_policy::Outcome::ToolError);
        assert_eq!(count(result_of("{}")).await.unwrap(), (ok, None));
        assert_eq!(count(result_of(r#"{"isError":true}"#)).await.unwrap(), (failed, Some("tool_error")));
        assert_eq!(count(result_of(r#"{"isError":"x"}"#)).await.unwrap(), (ok, None));
        assert!(count(result_of("[]")).await.is_none());
        assert!(count(Answer::Error("{}".into())).await.unwrap().1.is_some());
    }
}
