//! Reading request bodies, and the answers of HTTP itself.

use super::compression::Packed;
use crate::host::Host;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mesh_core::error::A2A_ERROR_DOMAIN;
use mesh_core::{A2aError, ErrorKind};
use serde_json::json;

/// A request refused, with the HTTP status to say so.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: A2aError,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ErrorKind::MethodNotFound,
            _ => ErrorKind::InvalidRequest,
        };
        Self { status, error: A2aError::new(kind, message) }
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes (limits.body)"),
        )
    }
}

impl From<A2aError> for Refusal {
    fn from(error: A2aError) -> Self {
        let status = StatusCode::from_u16(error.kind.http_status());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error }
    }
}

/// Reads a body that is JSON by its content type, up to `limits.body`, also of what is packed in it.
pub(crate) async fn read(host: &Host, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json")
        && !essence.eq_ignore_ascii_case("application/a2a+json")
    {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type: must be application/json or application/a2a+json",
        ));
    }
    let packed = Packed::of(headers)?;
    let limit = host.settings.body_limit();
    match Limited::new(body, limit).collect().await {
        Ok(collected) => packed.unpack(collected.to_bytes(), limit).await,
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::too_large(limit)),
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the body broke off")),
    }
}

/// The same where there need not be a body.
pub(crate) async fn read_optional(host: &Host, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    if body.is_end_stream() { Ok(Bytes::new()) } else { read(host, headers, body).await }
}

/// An answer of one piece.
pub(crate) fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer of server-sent events.
pub(crate) fn stream(frames: Body) -> Response<Body> {
    let mut response = Response::new(frames);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An error as `google.rpc.Status` in JSON (section 11.6).
pub(crate) fn status_json(status: StatusCode, error: &A2aError) -> Bytes {
    let mut object = json!({
        "code": status.as_u16(),
        "status": error.kind.grpc_status().name(),
        "message": error.message,
    });
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason(error.kind),
        "domain": A2A_ERROR_DOMAIN,
    })];
    if let Some((field, description)) = violation(error) {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": description }],
        }));
    }
    object["details"] = json!(details);
    Bytes::from(json!({ "error": object }).to_string())
}

/// The `reason` of `google.rpc.ErrorInfo`. The specification names those of its own errors; the others have the names that the
/// official SDKs know.
pub(crate) fn reason(kind: ErrorKind) -> &'static str {
    kind.reason().unwrap_or(match kind {
        ErrorKind::Parse => "PARSE_ERROR",
        ErrorKind::InvalidRequest => "INVALID_REQUEST",
        ErrorKind::MethodNotFound => "METHOD_NOT_FOUND",
        ErrorKind::InvalidParams => "INVALID_PARAMS",
        _ => "INTERNAL_ERROR",
    })
}

/// The field that is wrong, and why, as `google.rpc.BadRequest` has them.
pub(crate) fn violation(error: &A2aError) -> Option<(&str, &str)> {
    (error.kind == ErrorKind::InvalidParams).then(|| error.message.split_once(": ")).flatten()
}
