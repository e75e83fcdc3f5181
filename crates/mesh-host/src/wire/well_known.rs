//! What an agent says about itself before anybody calls it: its card (section 8.2), and the keys that it is signed with.

use super::body::{respond, status_json};
use super::compression::Accepted;
use super::version::{self, Asked};
use crate::card::Document;
use crate::host::Host;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use mesh_core::{A2aError, ErrorKind};
use std::sync::Arc;

const JSON: &str = "application/json";
const JWK_SET: &str = "application/jwk-set+json";

/// What everybody may keep for a minute.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// `GET /.well-known/agent-card.json`. A client that says 1.0 gets the card of 1.0 and nothing else; one that says nothing may
/// be of 0.3, and gets the fields of that as well.
pub(super) async fn card(State(host): State<Arc<Host>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let forms = &host.published().public;
    let document = if Asked::of(&uri, &headers) == Asked::V1 { &forms.plain } else { &forms.both };
    let mut response = answer(&headers, document, JSON);
    response.headers_mut().append(header::VARY, HeaderValue::from_static(version::HEADER));
    Accepted::of(&headers).apply(host.settings.limits.compress_from, response).await
}

/// `GET /.well-known/jwks.json`: the keys that the card's signatures are made with.
pub(super) async fn keys(State(host): State<Arc<Host>>, headers: HeaderMap) -> Response<Body> {
    if host.settings.agent.card.signing.is_none() {
        let error = A2aError::new(
            ErrorKind::MethodNotFound,
            "the card of this agent is not signed, so there are no keys",
        );
        return respond(StatusCode::NOT_FOUND, JSON, status_json(StatusCode::NOT_FOUND, &error));
    }
    answer(&headers, &host.published().keys, JWK_SET)
}

/// A document, or that the client has it already (RFC 9110, section 13.1.2).
fn answer(headers: &HeaderMap, document: &Document, content_type: &'static str) -> Response<Body> {
    let (status, body) = if is_known(headers, &document.etag) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, document.body.clone())
    };
    let mut response = respond(status, content_type, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, PUBLIC);
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// Tags are compared weakly, as `If-None-Match` has it.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.flat_map(|tags| tags.split(',')).any(|tag| opaque(tag) == opaque(etag) || tag.trim() == "*")
}
