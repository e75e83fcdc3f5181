//! `params._meta`: what is meant for us, and what only passes.

use super::object::{RawObject, as_str};
use crate::rejection::Rejection;
use std::borrow::Cow;

pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub(crate) const PROGRESS_TOKEN: &str = "progressToken";
pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// The `_meta` of a request, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestMeta<'a> {
    /// The revision that a modern request names.
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    /// Raw.
    pub(crate) client_capabilities: Option<Cow<'a, str>>,
    /// Raw.
    pub(crate) client_info: Option<Cow<'a, str>>,
    /// Raw.
    pub(crate) log_level: Option<Cow<'a, str>>,
    /// Raw: a string or an integer.
    pub(crate) progress_token: Option<Cow<'a, str>>,
    /// The caller's place in its trace.
    pub(crate) traceparent: Option<Cow<'a, str>>,
    /// Everything else, which passes unchanged.
    pub(crate) rest: RawObject<'a>,
}

impl<'a> RequestMeta<'a> {
    /// Takes `_meta` out of the parameters.
    pub(crate) fn take(params: &mut RawObject<'a>) -> Result<Self, Rejection> {
        let Some(Cow::Borrowed(json)) = params.take("_meta") else { return Ok(Self::default()) };
        let mut rest = RawObject::parse(json)
            .map_err(|error| Rejection::InvalidParams(format!("`params._meta`: {error}")))?;
        let protocol_version = text(&mut rest, PROTOCOL_VERSION)?;
        let traceparent = text(&mut rest, TRACEPARENT)?;
        let progress_token = rest.take(PROGRESS_TOKEN);
        if let Some(token) = &progress_token
            && !(token.starts_with('"') || token.parse::<i128>().is_ok())
        {
            return Err(Rejection::InvalidParams(
                "`params._meta.progressToken` must be a string or an integer".to_owned(),
            ));
        }
        Ok(Self {
            protocol_version,
            client_capabilities: rest.take(CLIENT_CAPABILITIES),
            client_info: rest.take(CLIENT_INFO),
            log_level: rest.take(LOG_LEVEL),
            progress_token,
            traceparent,
            rest,
        })
    }
}

fn text<'a>(meta: &mut RawObject<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Rejection> {
    match meta.take(name) {
        None => Ok(None),
        Some(Cow::Borrowed(json)) => as_str(json)
            .map(Some)
            .ok_or_else(|| Rejection::InvalidParams(format!("`params._meta.{name}` must be a string"))),
        Some(Cow::Owned(_)) => Ok(None),
    }
}
