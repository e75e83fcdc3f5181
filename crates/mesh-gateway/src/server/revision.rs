//! Which revision a request is in, and whether its headers say the same as its body.

use crate::rejection::Rejection;
use crate::wire::meta::{CLIENT_CAPABILITIES, PROTOCOL_VERSION, RequestMeta};
use crate::wire::object::{RawObject, as_str};
use crate::wire::{LEGACY_VERSIONS, MODERN_VERSION, header, header_value};
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;

/// Whether the header names the modern revision.
pub(crate) fn names_modern(headers: &HeaderMap) -> bool {
    headers.get(header::PROTOCOL_VERSION).is_some_and(|version| version == MODERN_VERSION)
}

/// Whether a request is modern, with everything that a modern request must say checked.
pub(crate) fn check(
    headers: &HeaderMap,
    method: &str,
    params: &RawObject<'_>,
    meta: &RequestMeta<'_>,
) -> Result<bool, Rejection> {
    let named = plain(headers, &header::PROTOCOL_VERSION)?;
    let modern = match (named, meta.protocol_version.as_deref()) {
        // The handshake is how a legacy client begins, whatever its header says.
        (_, None) if method == "initialize" => false,
        (None, None) if method == "server/discover" => {
            return Err(Rejection::HeaderMismatch("`MCP-Protocol-Version` is missing".to_owned()));
        }
        // 2025-03-26 had no header.
        (None, None) => false,
        (None, Some(version)) if is_legacy(version) => false,
        (None, Some(_)) => {
            return Err(Rejection::HeaderMismatch("`MCP-Protocol-Version` is missing".to_owned()));
        }
        (Some(named), Some(version)) if named != version => {
            return Err(Rejection::HeaderMismatch(format!(
                "`MCP-Protocol-Version` is `{}`, the body says `{}`",
                short(&named),
                short(version)
            )));
        }
        (Some(named), _) if is_legacy(&named) => false,
        (Some(named), _) if named != MODERN_VERSION => {
            return Err(Rejection::UnsupportedVersion { requested: short(&named) });
        }
        (Some(_), None) => return Err(Rejection::MissingMeta(PROTOCOL_VERSION)),
        (Some(_), Some(_)) => true,
    };
    if modern {
        check_modern(headers, method, params, meta)?;
    }
    Ok(modern)
}

fn check_modern(
    headers: &HeaderMap,
    method: &str,
    params: &RawObject<'_>,
    meta: &RequestMeta<'_>,
) -> Result<(), Rejection> {
    match plain(headers, &header::METHOD)? {
        None => return Err(Rejection::HeaderMismatch("`Mcp-Method` is missing".to_owned())),
        Some(named) if named != method => {
            return Err(Rejection::HeaderMismatch(format!(
                "`Mcp-Method` is `{}`, the body says `{}`",
                short(&named),
                short(method)
            )));
        }
        Some(_) => {}
    }
    if !meta.client_capabilities.as_deref().is_some_and(|capabilities| capabilities.starts_with('{')) {
        return Err(Rejection::MissingMeta(CLIENT_CAPABILITIES));
    }
    let source = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    let Some(value) = headers.get(header::NAME) else {
        return Err(Rejection::HeaderMismatch("`Mcp-Name` is missing".to_owned()));
    };
    let named = header_value::decode(value.as_bytes())
        .ok_or_else(|| Rejection::HeaderMismatch("`Mcp-Name` is not a valid value".to_owned()))?;
    // A body without it, or with something else than a string, is the method's own error.
    match params.get(source).and_then(as_str) {
        Some(body) if body != named => Err(Rejection::HeaderMismatch(format!(
            "`Mcp-Name` is `{}`, the body says `{}`",
            short(&named),
            short(&body)
        ))),
        _ => Ok(()),
    }
}

fn is_legacy(version: &str) -> bool {
    LEGACY_VERSIONS.contains(&version)
}

fn plain<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Cow<'a, str>>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match (first.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(Cow::Borrowed(value))),
        _ => Err(Rejection::HeaderMismatch(format!("`{name}` must occur once, in visible characters"))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn request(headers: &[(&'static str, &str)], method: &str, params: &str) -> Result<bool, i32> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let mut params = RawObject::parse(params).unwrap();
        let meta = RequestMeta::take(&mut params).unwrap();
        check(&map, method, &params, &meta).map_err(|rejection| rejection.code())
    }

    const META: &str = r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;
    const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

    #[test]
    fn the_generation_follows_from_header_and_body() {
        assert_eq!(request(&[], "tools/list", "{}"), Ok(false));
        assert_eq!(request(&[("mcp-protocol-version", "2025-06-18")], "tools/list", "{}"), Ok(false));
        assert_eq!(request(&[VERSION, ("mcp-method", "tools/list")], "tools/list", META), Ok(true));
        assert_eq!(request(&[VERSION], "initialize", "{}"), Ok(false));
    }

    #[test]
    fn headers_and_body_must_agree() {
        let call = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?YQ==?=")];
        assert_eq!(request(&call, "tools/call", META), Ok(true));
        assert_eq!(request(&call[..2], "tools/call", META), Err(-32020));
        assert_eq!(request(&call[..1], "tools/call", META), Err(-32020));
        assert_eq!(request(&call[1..], "tools/call", META), Err(-32020));
        assert_eq!(request(&[call[0], call[1], ("mcp-name", "b")], "tools/call", META), Err(-32020));
        assert_eq!(
            request(&[call[0], call[1], ("mcp-name", "=?base64?*?=")], "tools/call", META),
            Err(-32020)
        );
        assert_eq!(request(&[VERSION, VERSION, call[1]], "tools/call", META), Err(-32020));
        assert_eq!(request(&[("mcp-protocol-version", "2025-06-18")], "tools/call", META), Err(-32020));
        assert_eq!(request(&[("mcp-protocol-version", "1900-01-01")], "tools/list", "{}"), Err(-32022));
        assert_eq!(request(&[VERSION, ("mcp-method", "tools/list")], "tools/list", "{}"), Err(-32602));
        let without = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        assert_eq!(request(&[VERSION, ("mcp-method", "tools/list")], "tools/list", without), Err(-32602));
    }
}
