//! What is answered to a message.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "protocolVersion")]
    revision: Option<&'a RawValue>,
}

/// The tools of a server: `echo`, and so many more with a schema of a usual size.
pub(super) fn listed(more: usize) -> String {
    let mut tools = vec![
        r#"{"name":"echo","description":"Answers with its arguments","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#.to_owned(),
    ];
    tools.extend((0..more).map(|n| {
        format!(
            r#"{{"name":"tool_{n}","description":"Looks one of many things up, by its number and by what it is called, and tells what is known of it","inputSchema":{{"type":"object","properties":{{"number":{{"type":"integer","description":"Which one"}},"name":{{"type":"string","description":"What it is called"}},"limit":{{"type":"integer","minimum":1,"maximum":100,"default":10}}}},"required":["number"]}}}}"#
        )
    }));
    format!(
        r#"{{"resultType":"complete","tools":[{}],"ttlMs":60000,"cacheScope":"public"}}"#,
        tools.join(",")
    )
}

/// The answer to a message; `None` for notifications and for what is no message.
pub(super) fn answer(body: &[u8], tools: &str) -> Option<String> {
    let request: Request<'_> = serde_json::from_slice(body).ok()?;
    let id = request.id?.get();
    let member = match &*request.method {
        "tools/call" => match request.params.and_then(|params| Some((params.name?, params.arguments))) {
            Some((name, arguments)) if name == "echo" => {
                let arguments = arguments.map_or("{}", RawValue::get);
                return Some(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":"echo"}}],"structuredContent":{arguments}}}}}"#
                ));
            }
            _ => r#""error":{"code":-32602,"message":"unknown tool"}"#.to_owned(),
        },
        "tools/list" => format!(r#""result":{tools}"#),
        "server/discover" => r#""result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":60000,"cacheScope":"public"}"#.to_owned(),
        "initialize" => {
            let revision = request.params.and_then(|params| params.revision).map_or("\"2025-11-25\"", RawValue::get);
            format!(r#""result":{{"protocolVersion":{revision},"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"echo","version":"1"}}}}"#)
        }
        "ping" => r#""result":{}"#.to_owned(),
        _ => r#""error":{"code":-32601,"message":"unknown method"}"#.to_owned(),
    };
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},{member}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn of(body: &str) -> Value {
        serde_json::from_str(&answer(body.as_bytes(), &listed(2)).unwrap()).unwrap()
    }

    #[test]
    fn a_call_comes_back_and_a_list_is_as_long_as_it_should() {
        let call = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"n":1.0}}}"#;
        assert!(answer(call.as_bytes(), "").unwrap().contains(r#""structuredContent":{"n":1.0}"#));
        assert_eq!(of(r#"{"id":1,"method":"tools/list"}"#)["result"]["tools"].as_array().unwrap().len(), 3);
        assert_eq!(of(r#"{"id":1,"method":"tools/call","params":{"name":"x"}}"#)["error"]["code"], -32602);
        assert_eq!(of(r#"{"id":1,"method":"nothing"}"#)["error"]["code"], -32601);
    }

    #[test]
    fn notifications_are_not_answered() {
        assert_eq!(answer(br#"{"method":"notifications/initialized"}"#, ""), None);
        assert_eq!(answer(b"{", ""), None);
    }
}
