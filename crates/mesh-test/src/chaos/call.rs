//! One request of a client, over JSON-RPC.

use crate::load::connection::{Connection, Target, begin, whole_body};
use crate::load::sse::SseReader;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than any answer takes while nothing is wrong.
const ANSWER: Duration = Duration::from_secs(6);
/// A stream that says nothing for so long is given up: its host may be frozen.
const SILENCE: Duration = Duration::from_secs(4);

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No answer, or half of one.
    Broken(String),
    /// An A2A error.
    Refused(i64, String),
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

fn broken(reason: impl ToString) -> Trouble {
    Trouble::Broken(reason.to_string())
}

/// What is in a JSON-RPC answer, byte for byte.
fn result(answer: &[u8]) -> Result<Bytes, Trouble> {
    let parsed: Answer<'_> =
        serde_json::from_slice(answer).map_err(|error| broken(format!("{error}: {}", begin(answer))))?;
    match (parsed.result, parsed.error) {
        (Some(result), None) => Ok(Bytes::copy_from_slice(result.get().as_bytes())),
        (_, Some(Refusal { code, message })) => Err(Trouble::Refused(code, message)),
        (None, None) => Err(broken(format!("neither result nor error: {}", begin(answer)))),
    }
}

fn request(method: &str, params: &Value) -> Bytes {
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#))
}

fn target(url: &str, accept: &str) -> Result<Target, Trouble> {
    let target = Target::new(url, &[]).and_then(|target| target.with("a2a-version", "1.0"));
    target.and_then(|target| target.with("accept", accept)).map_err(broken)
}

/// Asks and waits for the answer.
pub(super) async fn ask(url: &str, method: &str, params: &Value) -> Result<Bytes, Trouble> {
    let call = async {
        let target = target(url, "application/json")?;
        let response = Connection::new().post(&target, request(method, params)).await.map_err(broken)?;
        result(&whole_body(response).await.map_err(broken)?)
    };
    timeout(ANSWER, call).await.map_err(|_| broken("no answer in time"))?
}

/// Follows a stream until it ends (`Ok`), breaks, or `take` has enough. `after` is the number to resume from.
pub(super) async fn follow(
    url: &str,
    method: &str,
    params: &Value,
    after: Option<u64>,
    mut take: impl FnMut(Option<u64>, Bytes) -> ControlFlow<()>,
) -> Result<(), Trouble> {
    let mut target = target(url, "text/event-stream")?;
    if let Some(after) = after {
        target = target.with("last-event-id", &after.to_string()).map_err(broken)?;
    }
    let mut connection = Connection::new();
    let opening = connection.post(&target, request(method, params));
    let response =
        timeout(ANSWER, opening).await.map_err(|_| broken("no answer in time"))?.map_err(broken)?;
    let content_type = response.headers().get("content-type").map(|value| value.as_bytes().to_vec());
    if !content_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
        let body = timeout(ANSWER, whole_body(response)).await.map_err(|_| broken("half an answer"))?;
        result(&body.map_err(broken)?)?;
        return Err(broken("an answer that is no stream"));
    }
    let (mut body, mut reader) = (response.into_body(), SseReader::default());
    loop {
        let frame = timeout(SILENCE, body.frame()).await.map_err(|_| broken("silence"))?;
        let Some(frame) = frame else { return Ok(()) };
        reader.push(frame.map_err(broken)?.data_ref().map_or(&[], |data| data.as_ref()));
        while let Some(event) = reader.next_event() {
            if take(reader.id(), result(&event)?).is_break() {
                return Ok(());
            }
        }
    }
}
