//! Errors as gRPC tells them (section 10.6).

use crate::wire::body::{reason, violation};
use crate::wire::params::without_params;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use mesh_core::error::A2A_ERROR_DOMAIN;
use mesh_core::{A2aError, TraceContext};
use std::collections::HashMap;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The status of an error. Each has details: [`blame`] tells ours from tonic's by that.
pub(super) fn of(error: A2aError, trace: TraceContext) -> Status {
    let error = without_params(error, "request");
    let metadata: HashMap<_, _> =
        error.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut details = ErrorDetails::with_error_info(reason(error.kind), A2A_ERROR_DOMAIN, metadata);
    if let Some((field, description)) = violation(&error) {
        details.add_bad_request_violation(field, description);
    }
    // What an operator finds the log lines by.
    details.set_request_info(trace.trace_id_hex(), "");
    Status::with_error_details(Code::from_i32(error.kind.grpc_status() as i32), error.message, details)
}

/// tonic calls a request that it cannot decode an internal error. It is the client's.
pub(super) fn blame(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let internal = headers.get("grpc-status").is_some_and(|status| status == "13");
    if internal && !headers.contains_key("grpc-status-details-bin") {
        headers.insert("grpc-status", HeaderValue::from_static("3"));
    }
    response
}

/// The answer to what is no gRPC request at all.
pub(super) fn no_grpc() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
