//! What is checked before a request is even read: where it comes from, what it is, how big.

use crate::rejection::Rejection;
use crate::settings::{Hosts, Settings};
use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Request, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::net::IpAddr;
use std::time::Duration;

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(30);

/// A request that passed the edge.
pub(crate) struct Edge {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) takes_json: bool,
    pub(crate) takes_events: bool,
    /// Whether a large answer may be sent while it arrives.
    pub(crate) takes_pieces: bool,
    path: String,
}

impl Edge {
    /// A request without a body, for a stream or the end of a session.
    pub(crate) fn admit_head(settings: &Settings, request: Request<Body>) -> Result<Self, Rejection> {
        let (parts, _) = request.into_parts();
        check_origin(settings, &parts.uri, &parts.headers)?;
        let (takes_json, takes_events) = accepted(&parts.headers);
        let path = parts.uri.path().to_owned();
        Ok(Self {
            headers: parts.headers,
            body: Bytes::new(),
            takes_json,
            takes_events,
            takes_pieces: true,
            path,
        })
    }

    /// What a client on standard input sends: nothing but the message.
    pub(crate) fn of_line(body: Bytes, path: String, headers: HeaderMap) -> Self {
        Self { headers, body, takes_json: true, takes_events: true, takes_pieces: false, path }
    }

    /// Checks the head, then reads the body.
    pub(crate) async fn admit(settings: &Settings, request: Request<Body>) -> Result<Self, Rejection> {
        let (parts, body) = request.into_parts();
        check_origin(settings, &parts.uri, &parts.headers)?;
        if !is_json(&parts.headers) {
            return Err(Rejection::ContentType);
        }
        let (takes_json, takes_events) = accepted(&parts.headers);
        if !takes_json && !takes_events {
            return Err(Rejection::NotAcceptable);
        }
        let body = read_body(body, settings.limits.body).await?;
        Ok(Self {
            headers: parts.headers,
            body,
            takes_json,
            takes_events,
            takes_pieces: true,
            path: parts.uri.path().to_owned(),
        })
    }

    /// The upstream that the path names; `None` for all of them.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.path.strip_prefix("/mcp/")
    }

    /// Whether the client wants no answer that was kept (RFC 9111, 5.2.1.4).
    pub(crate) fn wants_fresh(&self) -> bool {
        self.header(&http::header::CACHE_CONTROL)
            .is_some_and(|value| value.to_ascii_lowercase().contains("no-cache"))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Reads a body of `limit` bytes at most, within [`BODY`].
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Rejection> {
    // What was announced need not be read.
    if body.size_hint().lower() > limit as u64 {
        return Err(Rejection::BodyTooLarge { limit });
    }
    match tokio::time::timeout(BODY, Limited::new(body, limit).collect()).await {
        Err(_) => Err(Rejection::BodyTooSlow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Rejection::BodyTooLarge { limit }),
        Ok(Err(_)) => Err(Rejection::BodyBroken),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Refuses requests that a web page made a browser send: by the name they were sent to (DNS rebinding) and by the page
/// they come from.
pub(crate) fn check_origin(settings: &Settings, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    if let Hosts::LoopbackAnd(names) = &settings.hosts {
        let host = uri
            .authority()
            .map(|authority| authority.as_str().to_owned())
            .or_else(|| headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()));
        let host = host.unwrap_or_default();
        let name = without_port(&host);
        if !is_loopback(name) && !names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
            return Err(Rejection::Host(host.chars().take(80).collect()));
        }
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let local = origin.split_once("://").is_some_and(|(_, authority)| is_loopback(without_port(authority)));
    if local || settings.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin)) {
        Ok(())
    } else {
        Err(Rejection::Origin(origin.chars().take(80).collect()))
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

fn is_loopback(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Whether the client takes JSON, and whether it takes event streams. No `Accept` means both may be sent, but a stream
/// is only sent to a client that asks for it.
fn accepted(headers: &HeaderMap) -> (bool, bool) {
    if !headers.contains_key(ACCEPT) {
        return (true, false);
    }
    let (mut json, mut events) = (false, false);
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            match range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => json = true,
                "text/event-stream" | "text/*" => events = true,
                _ => {}
            }
        }
    }
    (json, events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let settings = Settings {
            hosts: Hosts::LoopbackAnd(vec!["mesh.example".into()]),
            origins: vec!["https://app.example".into()],
            ..Settings::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        check_origin(&settings, &Uri::from_static("/mcp"), &headers).is_ok()
    }

    #[test]
    fn only_known_hosts_and_origins_pass() {
        for host in ["localhost", "LOCALHOST:3003", "127.0.0.1:3003", "[::1]:3003", "mesh.example:80"] {
            assert!(check(host, None), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
            assert!(!check(host, None), "{host}");
        }
        for origin in ["http://localhost:5173", "http://127.0.0.1", "https://app.example"] {
            assert!(check("localhost", Some(origin)), "{origin}");
        }
        for origin in ["null", "https://evil.example", "http://localhost.evil.example", "localhost"] {
            assert!(!check("localhost", Some(origin)), "{origin}");
        }
    }
}
