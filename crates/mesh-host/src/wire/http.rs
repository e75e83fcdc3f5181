//! The HTTP side: the routes of a host, and the JSON-RPC endpoint.

use super::body::{self, Refusal, respond, status_json};
use super::compression::Accepted;
use super::envelope::{self, BadEnvelope, Request};
use super::operate::{Answer, Arrival, Method, Operation, Outcome};
use super::sse::{self, Framing};
use super::v03;
use super::version::{self, Asked};
use super::well_known;
use crate::host::Host;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{HeaderMap, Response, StatusCode, Uri};
use mesh_core::{A2aError, ErrorKind};
use serde_json::value::RawValue;
use std::sync::Arc;

const JSON: &str = "application/json";

/// The routes of one host. What has no route here is a path of the HTTP+JSON binding, or nothing.
pub(crate) fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/", post(rpc))
        .route("/.well-known/agent-card.json", get(well_known::card))
        .route("/.well-known/jwks.json", get(well_known::keys))
        .merge(super::grpc::router(&host))
        .fallback(super::rest::handle)
        .method_not_allowed_fallback(wrong_method)
        .with_state(host)
}

async fn wrong_method() -> Response<Body> {
    let message = "this path takes another method: POST / is JSON-RPC, the paths under /.well-known take GET";
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message);
    respond(refusal.status, JSON, status_json(refusal.status, &refusal.error))
}

async fn rpc(State(host): State<Arc<Host>>, uri: Uri, headers: HeaderMap, body: Body) -> Response<Body> {
    let arrival = Arrival::now(&host, &headers);
    let mut response = answer(&host, &arrival, &uri, &headers, body).await;
    arrival.extensions.announce(response.headers_mut());
    Accepted::of(&headers).apply(host.settings.limits.compress_from, response).await
}

async fn answer(
    host: &Arc<Host>,
    arrival: &Arrival,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Response<Body> {
    let body = match body::read(host, headers, body).await {
        Ok(body) => body,
        Err(Refusal { status, error }) => return respond(status, JSON, envelope::error("null", &error)),
    };
    let request = match envelope::open(&body, host.settings.limits.depth) {
        Ok(request) => request,
        Err(BadEnvelope { id, error }) => {
            return respond(StatusCode::OK, JSON, envelope::error(&id, &error));
        }
    };
    let spoken = Spoken::of(uri, headers, &request);
    let old = spoken == Ok(Spoken::V03);
    let method = spoken.as_ref().ok().and_then(|spoken| spoken.method(&request.method));
    let operation = spoken.and_then(|spoken| decode(spoken, method, &request, headers));
    let outcome = arrival.perform(host, method, operation).await;
    match outcome.and_then(if old { v03::answer } else { Outcome::answer }) {
        Ok(Answer::Json(result)) => respond(StatusCode::OK, JSON, envelope::result(&request.id, &result)),
        Ok(Answer::Stream(subscription)) => {
            let id = request.id.into_owned();
            let framing = if old { Framing::V03(id) } else { Framing::JsonRpc(id) };
            body::stream(Body::from_stream(sse::frames(
                framing,
                *subscription,
                host.settings.limits.keep_alive,
            )))
        }
        // Clients of 0.3 that asked for a stream understand nothing else.
        Err(error) if old && method.is_some_and(Method::is_streaming) => {
            body::stream(Body::from(sse::refusal(&Framing::V03(request.id.into_owned()), &error)))
        }
        Err(error) => respond(StatusCode::OK, JSON, envelope::error(&request.id, &error)),
    }
}

/// The version in which a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    V1,
    V03,
}

impl Spoken {
    /// What a request without a version means is decided by section 3.6.2: 0.3, whose methods have other names than those of 1.0.
    fn of(uri: &Uri, headers: &HeaderMap, request: &Request<'_>) -> Result<Self, A2aError> {
        match Asked::of(uri, headers) {
            Asked::V1 => Ok(Self::V1),
            Asked::V03 if Method::parse(&request.method).is_some() => {
                Err(version::refusal("0.3 with a method of 1.0"))
            }
            asked @ Asked::Nothing if Method::parse(&request.method).is_some() => {
                version::only_v1(asked).map(|()| Self::V1)
            }
            Asked::Nothing | Asked::V03 => Ok(Self::V03),
            Asked::Other(asked) => Err(version::refusal(asked)),
        }
    }

    fn method(self, name: &str) -> Option<Method> {
        match self {
            Self::V1 => Method::parse(name),
            Self::V03 => Method::parse_v03(name),
        }
    }
}

fn decode(
    spoken: Spoken,
    method: Option<Method>,
    request: &Request<'_>,
    headers: &HeaderMap,
) -> Result<Operation, A2aError> {
    let Some(method) = method else {
        let shown: String = request.method.chars().take(80).collect();
        let version = if spoken == Spoken::V1 { "1.0" } else { "0.3" };
        let message = format!("method `{shown}` is not one of A2A {version}");
        return Err(A2aError::new(ErrorKind::MethodNotFound, message));
    };
    let params = request.params.map_or("{}", RawValue::get);
    match spoken {
        Spoken::V1 => Operation::decode(method, params, headers),
        Spoken::V03 => v03::decode(method, params, headers),
    }
}
