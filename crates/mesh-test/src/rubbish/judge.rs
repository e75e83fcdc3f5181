//! Whether an answer is what has to be demanded.

use super::cases::{Case, Demand};
use super::exchange::Answer;
use serde_json::Value;

/// Judges an answer.
///
/// # Errors
/// What is wrong with it.
pub fn judge(case: &Case, answer: &Answer) -> Result<(), String> {
    let (status, body, headers) = match answer {
        Answer::Nothing => return Err("no answer, and the connection stays open".to_owned()),
        Answer::Closed if case.demand == Demand::BelowFiveHundredOrClosed => return Ok(()),
        Answer::Closed => return Err("the connection was closed without an answer".to_owned()),
        Answer::Http { status, body, headers } => (*status, body, headers),
    };
    let begin = || String::from_utf8_lossy(body).chars().take(300).collect::<String>();
    if status >= 500 {
        return Err(format!("status {status}: {}", begin()));
    }
    // Too large, or too often: said before the request is looked at.
    if matches!(status, 413 | 429) {
        return Ok(());
    }
    match case.demand {
        Demand::BelowFiveHundredOrClosed | Demand::BelowFiveHundred => Ok(()),
        Demand::JsonRpc | Demand::JsonRpcError => {
            let stream =
                headers.iter().any(|(n, v)| n == "content-type" && v.starts_with("text/event-stream"));
            if stream && body.is_empty() && case.demand == Demand::JsonRpc {
                return Ok(());
            }
            let json = if stream { first_event(body) } else { body.clone() };
            check_response(&json, case.demand == Demand::JsonRpcError)
                .map_err(|why| format!("{why}; status {status}: {}", begin()))
        }
    }
}

fn check_response(json: &[u8], error_wanted: bool) -> Result<(), &'static str> {
    let response: Value = serde_json::from_slice(json).map_err(|_| "the body is not JSON")?;
    if response["jsonrpc"] != "2.0" {
        return Err("no JSON-RPC response");
    }
    let fields = response.as_object().ok_or("no JSON-RPC response")?;
    if !fields.contains_key("id") {
        return Err("the response has no id");
    }
    match (fields.get("result"), fields.get("error")) {
        (Some(_), None) if error_wanted => Err("a result where only an error is right"),
        (Some(_), None) => Ok(()),
        (None, Some(error)) if error["code"].is_i64() && error["message"].is_string() => Ok(()),
        (None, Some(_)) => Err("the error lacks a code or a message"),
        _ => Err("the response has to have either a result or an error"),
    }
}

fn first_event(body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        if let Some(more) = line.strip_prefix(b"data:") {
            data.extend_from_slice(more);
        } else if line.is_empty() && !data.is_empty() {
            break;
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(demand: Demand, status: u16, body: &str) -> Result<(), String> {
        let case = Case { number: 1, name: "x", wire: Vec::new(), complete: true, demand };
        judge(&case, &Answer::Http { status, headers: Vec::new(), body: body.into() })
    }

    #[test]
    fn only_answers_that_are_right_pass() {
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#;
        let result = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(verdict(Demand::JsonRpcError, 200, error), Ok(()));
        assert_eq!(verdict(Demand::JsonRpcError, 400, error), Ok(()));
        assert_eq!(verdict(Demand::JsonRpc, 200, result), Ok(()));
        assert!(verdict(Demand::JsonRpcError, 200, result).is_err());
        assert!(verdict(Demand::JsonRpcError, 500, error).is_err());
        assert!(verdict(Demand::JsonRpcError, 400, "bad request").is_err());
        assert!(verdict(Demand::BelowFiveHundred, 404, "").is_ok());
        let case =
            Case { number: 1, name: "x", wire: Vec::new(), complete: true, demand: Demand::BelowFiveHundred };
        assert!(judge(&case, &Answer::Nothing).is_err());
        assert!(judge(&case, &Answer::Closed).is_err());
    }
}
