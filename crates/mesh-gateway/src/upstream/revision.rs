//! Which generation of the protocol an upstream speaks, and how its answers to the first question tell.

use super::{Answer, Conversation, Opened, Pinned, ResultText, UpstreamError};
use crate::wire::object::RawObject;
use crate::wire::{IMPLEMENTATION, LEGACY_VERSIONS, MODERN_VERSION};
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Cow;

/// Longest description of itself that a server's session keeps.
const DESCRIPTION: usize = 256 << 10;

/// The revision agreed with an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// Stateless; every request describes itself.
    Modern,
    /// With a handshake; the version that the server chose.
    Legacy(String),
}

impl Revision {
    pub(crate) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }

    /// The value of `MCP-Protocol-Version`.
    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Modern => MODERN_VERSION,
            Self::Legacy(version) => version,
        }
    }
}

/// What an answer to `server/discover` says about the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Modern,
    Legacy,
    /// Modern, but of revisions that we do not know.
    Foreign(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: Vec<String>,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
    #[serde(default)]
    data: serde_json::Value,
}

/// Judges the answer to `server/discover`. Anything that is not clearly modern is legacy.
pub(crate) fn judge(answer: &Answer) -> Verdict {
    match answer {
        // What fits into no buffer is no description of a server.
        Answer::Result(ResultText::Streamed(_)) => Verdict::Legacy,
        Answer::Result(ResultText::Whole(result)) => match serde_json::from_slice::<Discovered>(result) {
            Ok(discovered) => choose(&discovered.supported_versions),
            Err(_) => Verdict::Legacy,
        },
        Answer::Error(error) => match serde_json::from_slice::<Refused>(error) {
            Ok(Refused { code: -32022, data }) => {
                let versions = data["supported"].as_array().into_iter().flatten();
                let versions: Vec<_> = versions.filter_map(|v| v.as_str().map(str::to_owned)).collect();
                choose(&versions)
            }
            Ok(Refused { code: -32020 | -32021, .. }) => Verdict::Modern,
            _ => Verdict::Legacy,
        },
    }
}

fn choose(versions: &[String]) -> Verdict {
    if versions.iter().any(|version| version == MODERN_VERSION) {
        Verdict::Modern
    } else if versions.iter().any(|version| LEGACY_VERSIONS.contains(&version.as_str())) {
        Verdict::Legacy
    } else {
        Verdict::Foreign(versions.join(", "))
    }
}

/// `initialize` in a conversation's name.
pub(crate) fn initialize_message(id: u64, conversation: &Conversation) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{},"clientInfo":{}}}}}"#,
        LEGACY_VERSIONS[0],
        conversation.capabilities,
        conversation.info.as_deref().unwrap_or(IMPLEMENTATION),
    )
    .into_bytes()
}

/// What a server says about itself in its answer to `initialize` or `server/discover`.
pub(crate) fn description(answer: Answer) -> Result<Bytes, UpstreamError> {
    match answer {
        Answer::Result(ResultText::Whole(result)) if result.len() <= DESCRIPTION => {
            // Kept for long: without the buffer that it arrived in.
            Ok(Bytes::copy_from_slice(&result))
        }
        Answer::Result(_) => Err(UpstreamError::bad_answer("its description of itself is too large")),
        Answer::Error(_) => Err(UpstreamError::bad_answer("it does not describe itself")),
    }
}

/// The same, taken apart.
pub(crate) fn describe(
    revision: &Revision,
    described: &Bytes,
    session: Option<Pinned>,
) -> Result<Opened, UpstreamError> {
    let unreadable = || UpstreamError::bad_answer("its description of itself cannot be read");
    let text = std::str::from_utf8(described).map_err(|_| unreadable())?;
    let mut object = RawObject::parse_lenient(text).map_err(|_| unreadable())?;
    let capabilities = object.take("capabilities").map_or_else(|| "{}".to_owned(), Cow::into_owned).into();
    Ok(Opened { revision: revision.clone(), capabilities, answer: object.to_text().into(), session })
}

/// The version that a server chose in its answer to `initialize`.
pub(crate) fn initialized(answer: &Answer) -> Result<Revision, UpstreamError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: String,
    }
    let result = match answer {
        Answer::Result(ResultText::Whole(result)) => result,
        Answer::Result(ResultText::Streamed(_)) => {
            return Err(UpstreamError::bad_answer("its answer to `initialize` is too large"));
        }
        Answer::Error(error) => {
            let shown: String = String::from_utf8_lossy(error).chars().take(200).collect();
            return Err(UpstreamError::bad_answer(format!("it refused `initialize`: {shown}")));
        }
    };
    let initialized: Initialized = serde_json::from_slice(result)
        .map_err(|error| UpstreamError::bad_answer(format!("its answer to `initialize`: {error}")))?;
    // 2024-11-05 differs from later revisions in nothing that tools use.
    let known = LEGACY_VERSIONS.contains(&initialized.protocol_version.as_str())
        || initialized.protocol_version == "2024-11-05";
    if known {
        Ok(Revision::Legacy(initialized.protocol_version))
    } else {
        let shown: String = initialized.protocol_version.chars().take(40).collect();
        Err(UpstreamError::bad_answer(format!("it chose the unknown protocol version `{shown}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn error(json: &'static str) -> Verdict {
        judge(&Answer::Error(json.into()))
    }

    #[test]
    fn only_a_modern_answer_is_modern() {
        let result = |json: &'static str| judge(&Answer::Result(Bytes::from(json).into()));
        assert_eq!(result(r#"{"supportedVersions":["2026-07-28"]}"#), Verdict::Modern);
        assert_eq!(result(r#"{"supportedVersions":["2025-11-25"]}"#), Verdict::Legacy);
        assert_eq!(result(r#"{"supportedVersions":["2031-01-01"]}"#), Verdict::Foreign("2031-01-01".into()));
        assert_eq!(result(r#"{}"#), Verdict::Legacy);
        assert_eq!(error(r#"{"code":-32601,"message":"x"}"#), Verdict::Legacy);
        assert_eq!(error(r#"{"code":-32020,"message":"x"}"#), Verdict::Modern);
        assert_eq!(
            error(r#"{"code":-32022,"message":"x","data":{"supported":["2026-07-28"]}}"#),
            Verdict::Modern
        );
        assert_eq!(error("[]"), Verdict::Legacy);
    }
}
