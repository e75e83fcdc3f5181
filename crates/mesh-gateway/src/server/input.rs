//! Results that ask for input, for a client that is asked by requests: the bridge from 2026-07-28 to the revisions before.

use crate::upstream::{Answer, Asker, UpstreamError};
use crate::wire::object::{RawObject, as_str};
use crate::wire::write_string;
use bytes::Bytes;

/// Questions in one result; more are refused.
const QUESTIONS: usize = 16;

/// What the client answered, for the repetition of the call.
#[derive(Debug)]
pub(super) struct Answers {
    responses: String,
    state: Option<String>,
}

impl Answers {
    /// Adds `inputResponses` and the exact `requestState` to the parameters of the call.
    pub(super) fn add_to(self, params: &mut RawObject<'_>) {
        params.set("inputResponses", self.responses);
        match self.state {
            Some(state) => params.set("requestState", state),
            None => drop(params.take("requestState")),
        }
    }
}

/// Asks the client everything that a result with `resultType: "input_required"` asks for, one question after the other: a person can
/// answer only one at a time.
pub(super) async fn gather(result: &Bytes, asker: &dyn Asker) -> Result<Answers, UpstreamError> {
    let unreadable = || UpstreamError::bad_answer("what it asks for cannot be read");
    let text = std::str::from_utf8(result).map_err(|_| unreadable())?;
    let result = RawObject::parse_lenient(text).map_err(|_| unreadable())?;
    let requests =
        RawObject::parse_lenient(result.get("inputRequests").unwrap_or("{}")).map_err(|_| unreadable())?;
    let mut responses = Vec::from(*b"{");
    for (at, (key, request)) in requests.iter().enumerate() {
        if at == QUESTIONS {
            return Err(UpstreamError::bad_answer(format!(
                "it asks more than {QUESTIONS} questions at once"
            )));
        }
        let request = RawObject::parse_lenient(request).map_err(|_| unreadable())?;
        let method = request.get("method").and_then(as_str).ok_or_else(unreadable)?;
        let answer = match asker.ask(&method, request.get("params")).await {
            Answer::Result(answer) => answer.whole().await?,
            Answer::Error(error) => {
                let shown: String = String::from_utf8_lossy(&error).chars().take(200).collect();
                return Err(UpstreamError::unavailable(format!(
                    "did not get what it asked the client for: {shown}"
                )));
            }
        };
        if at > 0 {
            responses.push(b',');
        }
        write_string(&mut responses, key);
        responses.push(b':');
        responses.extend_from_slice(&answer);
    }
    responses.push(b'}');
    let responses = String::from_utf8(responses).map_err(|_| unreadable())?;
    Ok(Answers { responses, state: result.get("requestState").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    #[async_trait::async_trait]
    impl Asker for Echo {
        async fn ask(&self, method: &str, params: Option<&str>) -> Answer {
            match method {
                "refuse" => Answer::Error(Bytes::from_static(b"{}")),
                _ => Answer::Result(Bytes::from(params.unwrap_or("null").to_owned()).into()),
            }
        }
    }

    #[tokio::test]
    async fn the_call_is_repeated_with_the_answers_and_the_exact_state() {
        let result = Bytes::from_static(
            br#"{"inputRequests":{"a":{"method":"elicitation/create","params":{"x":1.0}},"b":{"method":"roots/list"}},"requestState":"s\u0041"}"#,
        );
        let mut params = RawObject::parse(r#"{"name":"t"}"#).unwrap();
        gather(&result, &Echo).await.unwrap().add_to(&mut params);
        assert_eq!(
            params.to_text(),
            r#"{"name":"t","inputResponses":{"a":{"x":1.0},"b":null},"requestState":"s\u0041"}"#
        );
        let refused = Bytes::from_static(br#"{"inputRequests":{"a":{"method":"refuse"}}}"#);
        assert!(gather(&refused, &Echo).await.is_err());
    }
}
