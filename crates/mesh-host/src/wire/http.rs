//! The HTTP side of the binding: content types, versions, bodies, and which operation a method is.

use super::envelope::{self, BadEnvelope, Request};
use super::params::{self, ListParams, SendMessageParams, TaskParams};
use super::sse;
use crate::card;
use crate::host::Host;
use crate::owner::Detail;
use crate::service::{Listing, View, decode_cursor, encode_cursor};
use crate::subscribe::Subscription;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use mesh_core::model::{Message, Task};
use mesh_core::trace::{Span, SpanKind};
use mesh_core::{A2aError, AgentName, ErrorKind, Seq, Tenant, TraceContext};
use mesh_log::ListQuery;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const VERSION: &str = "a2a-version";
const DEFAULT_PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 100;

/// The routes of one host.
pub(crate) fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/", post(rpc))
        .route("/.well-known/agent-card.json", get(agent_card))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(host)
}

async fn no_such_path() -> Response<Body> {
    let message = "no such path; A2A is POST / (JSON-RPC), the card is GET /.well-known/agent-card.json";
    respond(StatusCode::NOT_FOUND, status_body(404, "NOT_FOUND", message))
}

async fn wrong_method() -> Response<Body> {
    let message =
        "this path takes another method: POST / is JSON-RPC, GET /.well-known/agent-card.json is the card";
    respond(StatusCode::METHOD_NOT_ALLOWED, status_body(405, "UNIMPLEMENTED", message))
}

/// `google.rpc.Status` as JSON (section 11.6): for answers outside of JSON-RPC.
fn status_body(code: u16, status: &str, message: &str) -> Bytes {
    let body = json!({ "error": { "code": code, "status": status, "message": message } });
    Bytes::from(body.to_string())
}

async fn agent_card(State(host): State<Arc<Host>>, headers: HeaderMap) -> Response<Body> {
    let card = card::serve(&host.settings, &host.declared.borrow());
    let unchanged =
        headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| {
            tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == card.etag || tag.trim() == "*")
        });
    let (status, body) =
        if unchanged { (StatusCode::NOT_MODIFIED, Bytes::new()) } else { (StatusCode::OK, card.body) };
    let mut response = respond(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    if let Ok(etag) = HeaderValue::from_str(&card.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn respond(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// What an operation answers with.
enum Answer {
    Json(Vec<u8>),
    Stream(Box<Subscription>),
}

async fn rpc(State(host): State<Arc<Host>>, uri: Uri, headers: HeaderMap, body: Body) -> Response<Body> {
    let start = host.clock.now();
    let body = match read_body(&host, &headers, body).await {
        Ok(body) => body,
        Err((status, message)) => {
            let error = A2aError::new(ErrorKind::InvalidRequest, message);
            return respond(status, envelope::error("null", &error));
        }
    };
    let request = match envelope::open(&body, host.settings.limits.depth) {
        Ok(request) => request,
        Err(BadEnvelope { id, error }) => return respond(StatusCode::OK, envelope::error(&id, &error)),
    };
    let incoming = text(&headers, "traceparent").and_then(TraceContext::parse);
    let trace = incoming.map_or_else(TraceContext::root, |parent| parent.child());
    let outcome = match check_version(asked_version(&uri, &headers), &request.method) {
        Ok(()) => operate(&host, &headers, &request, trace).await,
        Err(error) => Err(error),
    };
    host.tracer.record(|| Span {
        context: trace,
        parent: incoming.map(|parent| parent.span_id),
        name: span_name(&request.method),
        kind: SpanKind::Server,
        start,
        end: host.clock.now(),
        attributes: vec![("agentmesh.agent", host.settings.name.to_string())],
        error: outcome.as_ref().err().map(|error| error.message.clone()),
    });
    match outcome {
        Ok(Answer::Json(result)) => respond(StatusCode::OK, envelope::result(&request.id, &result)),
        Ok(Answer::Stream(subscription)) => stream(request.id.into_owned(), *subscription),
        Err(error) => {
            tracing::debug!(
                agent = %host.settings.name, method = &*request.method, trace_id = trace.trace_id_hex(),
                code = error.kind.json_rpc_code(), "refused: {error}"
            );
            respond(StatusCode::OK, envelope::error(&request.id, &error))
        }
    }
}

fn stream(id: String, subscription: Subscription) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(sse::frames(id, subscription)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

async fn read_body(host: &Host, headers: &HeaderMap, body: Body) -> Result<Bytes, (StatusCode, String)> {
    let content_type = text(headers, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json")
        && !essence.eq_ignore_ascii_case("application/a2a+json")
    {
        let message = "content-type: must be application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let limit = host.settings.body_limit();
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes (limits.body)"),
        )),
        Err(_) => Err((StatusCode::BAD_REQUEST, "the body broke off".to_owned())),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The version that a request names, in its header or else as a query parameter (section 3.6.1).
fn asked_version<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let pairs = || uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let in_query = || pairs().find(|(name, _)| name.eq_ignore_ascii_case(VERSION)).map(|(_, value)| value);
    text(headers, VERSION).or_else(in_query).unwrap_or_default().trim()
}

/// Section 3.6: an absent version means 0.3, which this host will speak later. The names of 1.0's methods are its own, so a
/// request without the header that uses one can only mean 1.0.
fn check_version(asked: &str, method: &str) -> Result<(), A2aError> {
    let mut numbers = asked.split('.');
    let supported = match (numbers.next(), numbers.next()) {
        (Some(""), None) => !method.contains('/'),
        (major, minor) => major == Some("1") && minor == Some("0"),
    };
    if supported {
        return Ok(());
    }
    let asked = if asked.is_empty() { "0.3" } else { asked };
    let message = format!("A2A {asked} is not supported here; send `A2A-Version: 1.0`");
    Err(A2aError::new(ErrorKind::VersionNotSupported, message))
}

fn span_name(method: &str) -> &'static str {
    match method {
        "SendMessage" => "a2a SendMessage",
        "SendStreamingMessage" => "a2a SendStreamingMessage",
        "GetTask" => "a2a GetTask",
        "ListTasks" => "a2a ListTasks",
        "CancelTask" => "a2a CancelTask",
        "SubscribeToTask" => "a2a SubscribeToTask",
        _ => "a2a other",
    }
}

async fn operate(
    host: &Arc<Host>,
    headers: &HeaderMap,
    request: &Request<'_>,
    trace: TraceContext,
) -> Result<Answer, A2aError> {
    let service = &host.service;
    let caller = |tenant: Option<String>| host.caller(tenant, trace);
    match &*request.method {
        "SendMessage" => {
            let SendParts { tenant, message, wait, history } = send_params(request)?;
            let mut task = service.send(&caller(tenant), message, wait).await?;
            task.limit_history(history);
            encode(&json_task(&task)?)
        }
        "SendStreamingMessage" => {
            let SendParts { tenant, message, .. } = send_params(request)?;
            service
                .send_streaming(&caller(tenant), message)
                .await
                .map(|subscription| Answer::Stream(Box::new(subscription)))
        }
        "GetTask" => {
            let params: TaskParams = params::decode(request.params)?;
            let history = params::history_length(params.history_length)?;
            let mut task = service.get(&caller(params.tenant), &params.id).await?;
            task.limit_history(history);
            encode(&task)
        }
        "ListTasks" => list(host, params::decode(request.params)?, trace).await,
        "CancelTask" => {
            let params: TaskParams = params::decode(request.params)?;
            encode(&service.cancel(&caller(params.tenant), &params.id).await?)
        }
        "SubscribeToTask" => {
            let params: TaskParams = params::decode(request.params)?;
            let after = last_event_id(headers)?;
            service
                .subscribe(&caller(params.tenant), &params.id, after)
                .await
                .map(|subscription| Answer::Stream(Box::new(subscription)))
        }
        "CreateTaskPushNotificationConfig"
        | "GetTaskPushNotificationConfig"
        | "ListTaskPushNotificationConfigs"
        | "DeleteTaskPushNotificationConfig" => Err(no_push()),
        "GetExtendedAgentCard" => Err(A2aError::new(
            ErrorKind::UnsupportedOperation,
            "this agent has no extended card; its public card says everything",
        )),
        other => {
            let shown: String = other.chars().take(80).collect();
            Err(A2aError::new(ErrorKind::MethodNotFound, format!("method `{shown}` is not one of A2A 1.0")))
        }
    }
}

fn no_push() -> A2aError {
    A2aError::new(
        ErrorKind::PushNotificationNotSupported,
        "this agent sends no push notifications; subscribe to the task instead",
    )
}

struct SendParts {
    tenant: Option<String>,
    message: Message,
    wait: bool,
    history: Option<usize>,
}

fn send_params(request: &Request<'_>) -> Result<SendParts, A2aError> {
    let params: SendMessageParams = params::decode(request.params)?;
    params::check_message(&params.message)?;
    let configuration = params.configuration.unwrap_or_default();
    if configuration.task_push_notification_config.as_ref().is_some_and(|config| !config.is_null()) {
        return Err(no_push());
    }
    Ok(SendParts {
        tenant: params.tenant,
        message: params.message,
        wait: !configuration.return_immediately.unwrap_or(false),
        history: params::history_length(configuration.history_length)?,
    })
}

/// `SendMessageResponse` with a task.
fn json_task(task: &Task) -> Result<serde_json::Value, A2aError> {
    let task = serde_json::to_value(task).map_err(|_| A2aError::internal())?;
    Ok(json!({ "task": task }))
}

fn encode(value: &impl serde::Serialize) -> Result<Answer, A2aError> {
    serde_json::to_vec(value).map(Answer::Json).map_err(|_| A2aError::internal())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer {
    tasks: Vec<Box<RawValue>>,
    next_page_token: String,
    page_size: i64,
    total_size: u64,
}

async fn list(host: &Arc<Host>, params: ListParams, trace: TraceContext) -> Result<Answer, A2aError> {
    let size = params.page_size.filter(|size| *size != 0).unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&size) {
        return Err(A2aError::invalid("params.pageSize", format_args!("must be from 1 to {LARGEST_PAGE}")));
    }
    let history = params::history_length(params.history_length)?;
    let token = params.page_token.filter(|token| !token.is_empty());
    let query = ListQuery {
        tenant: Tenant::from(""),
        owner: None,
        agent: Some(AgentName::from("")),
        context_id: params.context_id,
        state: params.status,
        status_at_or_after: params.status_timestamp_after,
        after: token.as_deref().map(decode_cursor).transpose()?,
        limit: usize::try_from(size).unwrap_or(1),
    };
    let caller = host.caller(params.tenant, trace);
    let detail = if params.include_artifacts.unwrap_or(false) { Detail::Whole } else { Detail::NoArtifacts };
    let Listing { tasks, total, next } = host.service.list(&caller, query, View { detail, history }).await?;
    let next_page_token = next.map(|cursor| encode_cursor(&cursor)).unwrap_or_default();
    encode(&ListAnswer { tasks, next_page_token, page_size: size, total_size: total })
}

/// Our extension: `Last-Event-ID` names the last event that the client has.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, A2aError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let digits = value.to_str().ok().map(str::trim).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(|| {
        A2aError::invalid("Last-Event-ID", "must be the number of an event, 0 for all of them")
    })
}
