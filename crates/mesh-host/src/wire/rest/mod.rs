//! The HTTP+JSON binding (section 11): paths, query parameters and plain JSON bodies.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzz;
mod path;
mod query;

use self::path::{Resource, Target};
use super::body::{self, Refusal, respond, status_json};
use super::compression::Accepted;
use super::envelope::check_depth;
use super::operate::{Answer, Arrival, Method, Operation, Outcome, resume_after};
use super::params::{self, CardParams, EventNumber, PushParams, TaskParams, without_params};
use super::sse::{self, Framing};
use super::version::{self, Asked};
use crate::host::Host;
use crate::push::PushConfig;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use mesh_core::{A2aError, ErrorKind, Seq, TaskId};
use serde::Deserialize;
use std::sync::Arc;

const A2A_JSON: &str = "application/a2a+json";
/// What is said to one caller.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=60");
const NO_SUCH_PATH: &str = "no such path; A2A is POST / (JSON-RPC) or the paths of its HTTP+JSON binding, such as POST \
                            /message:send, and the card is GET /.well-known/agent-card.json";

/// Answers every path that is not one of the other bindings.
pub(super) async fn handle(State(host): State<Arc<Host>>, request: Request<Body>) -> Response<Body> {
    let accepted = Accepted::of(request.headers());
    accepted.apply(host.settings.limits.compress_from, answer(&host, request).await).await
}

async fn answer(host: &Arc<Host>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(Target { tenant, resource }) = Target::parse(head.uri.path()) else {
        return refuse(&Refusal::new(StatusCode::NOT_FOUND, NO_SUCH_PATH));
    };
    let method = match resource.method(&head.method) {
        Ok(method) => method,
        Err(allowed) => {
            let message = format!("this path takes {allowed}");
            let mut response = refuse(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
    };
    let arrival = Arrival::now(host, &head.headers);
    // HTTP's own refusals have a status that the error's kind does not tell.
    let mut status = None;
    let operation = decode(host, &head, body, tenant, resource, method).await.map_err(|refusal| {
        status = Some(refusal.status);
        refusal.error
    });
    let mut response = match arrival.perform(host, Some(method), operation).await.and_then(Outcome::answer) {
        Ok(Answer::Json(result)) => {
            let mut response = respond(StatusCode::OK, A2A_JSON, Bytes::from(result));
            if method == Method::GetExtendedAgentCard {
                response.headers_mut().insert(header::CACHE_CONTROL, PRIVATE);
            }
            response
        }
        Ok(Answer::Stream(subscription)) => body::stream(Body::from_stream(sse::frames(
            Framing::Bare,
            *subscription,
            host.settings.limits.keep_alive,
        ))),
        Err(error) => {
            let mut refusal = Refusal::from(without_params(error, "body"));
            refusal.status = status.unwrap_or(refusal.status);
            refuse(&refusal)
        }
    };
    arrival.extensions.announce(response.headers_mut());
    response
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    respond(refusal.status, A2A_JSON, status_json(refusal.status, &refusal.error))
}

async fn decode(
    host: &Host,
    head: &Parts,
    body: Body,
    tenant: Option<String>,
    resource: Resource,
    method: Method,
) -> Result<Operation, Refusal> {
    version::only_v1(Asked::of(&head.uri, &head.headers))?;
    let query = head.uri.query().unwrap_or_default();
    let mut operation = match resource {
        Resource::Send | Resource::Stream => {
            let body = body::read(host, &head.headers, body).await?;
            Operation::decode(method, json(host, &body)?, &head.headers)?
        }
        Resource::Tasks => Operation::List(query::list(query)?),
        Resource::Task(id) => Operation::Get(query::task(query, id)?),
        Resource::Cancel(id) => Operation::Cancel(task(host, head, body, id).await?.0),
        Resource::Subscribe(id) => {
            let (params, named) = task(host, head, body, id).await?;
            let named = query::after_event(query)?.or(named);
            Operation::Subscribe { params, after: resume_after(&head.headers, named)? }
        }
        Resource::PushConfigs(task) if method == Method::CreatePushConfig => {
            let body = body::read(host, &head.headers, body).await?;
            let mut config: PushConfig = params::decode(json(host, &body)?)?;
            if !config.task_id.is_empty() && config.task_id != task {
                return Err(A2aError::invalid("taskId", "is another one than in the path").into());
            }
            config.task_id = task;
            Operation::CreatePush { config: Box::new(config), old: false }
        }
        Resource::PushConfigs(task) => Operation::ListPush(push(query, task, String::new())?),
        Resource::PushConfig(task, id) if method == Method::RetryPushConfig => {
            let id = id.strip_suffix(path::RETRY).unwrap_or_default();
            Operation::RetryPush(push(query, task, id.to_owned())?)
        }
        Resource::PushConfig(task, id) => {
            let params = push(query, task, id)?;
            if method == Method::DeletePushConfig {
                Operation::DeletePush(params)
            } else {
                Operation::GetPush(params)
            }
        }
        Resource::ExtendedCard => Operation::ExtendedCard(CardParams { tenant: query::tenant(query)? }),
        Resource::Context(id) => Operation::Context(query::context(query, id)?),
    };
    if let (Some(tenant), Some(field)) = (tenant, operation.tenant_mut()) {
        if field.as_ref().is_some_and(|named| !named.is_empty() && *named != tenant) {
            return Err(A2aError::invalid("tenant", "is another one than in the path").into());
        }
        *field = Some(tenant);
    }
    Ok(operation)
}

fn push(query: &str, task: String, id: String) -> Result<PushParams, A2aError> {
    let tenant = query::tenant(query)?;
    Ok(PushParams { tenant, task_id: TaskId::from(task), id })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    id: Option<TaskId>,
    #[serde(default)]
    after_event: Option<EventNumber>,
}

/// The parameters of a task whose id is in the path; a body may repeat it, and name the event to resume from.
async fn task(
    host: &Host,
    head: &Parts,
    body: Body,
    id: String,
) -> Result<(TaskParams, Option<Seq>), Refusal> {
    let mut params = query::task(head.uri.query().unwrap_or_default(), id)?;
    let body = body::read_optional(host, &head.headers, body).await?;
    if body.is_empty() {
        return Ok((params, None));
    }
    let named: TaskBody = params::decode(json(host, &body)?)?;
    if named.id.is_some_and(|named| !named.as_str().is_empty() && named != params.id) {
        return Err(A2aError::invalid("id", "is another one than in the path").into());
    }
    params.tenant = named.tenant.or(params.tenant);
    Ok((params, named.after_event.map(Seq::from)))
}

/// A body as text whose JSON is not too deep.
fn json<'a>(host: &Host, body: &'a [u8]) -> Result<&'a str, A2aError> {
    let depth = host.settings.limits.depth;
    check_depth(body, depth).map_err(|at| {
        let message = format!("the body is nested deeper than {depth} levels at byte {at}");
        A2aError::new(ErrorKind::InvalidRequest, message)
    })?;
    std::str::from_utf8(body).map_err(|_| A2aError::new(ErrorKind::Parse, "the body is not UTF-8"))
}
