//! Which generation of the protocol an upstream speaks, and how its answers to the first question tell.

use super::{Answer, ResultText, UpstreamError};
use crate::wire::{IMPLEMENTATION, LEGACY_VERSIONS, MODERN_VERSION};
use serde::Deserialize;

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

/// The parameters of `initialize`.
pub(crate) fn initialize_params() -> String {
    format!(
        r#"{{"protocolVersion":"{}","capabilities":{{}},"clientInfo":{IMPLEMENTATION}}}"#,
        LEGACY_VERSIONS[0]
    )
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
