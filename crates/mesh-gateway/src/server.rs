//! The way of a request: edge, envelope, revision, method, reply.

mod call;
mod edge;
mod methods;
mod reply;
mod revision;

pub(crate) use call::Route;
pub(crate) use edge::check_origin;

use crate::gateway::Gateway;
use crate::identity;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::wire::envelope::{self, Message, RequestId};
use crate::wire::meta::RequestMeta;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use edge::Edge;
use http::{Method, Request, StatusCode};
use reply::Replied;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/mcp", any(mcp))
        .route("/mcp/{upstream}", any(mcp))
        .merge(crate::agents::routes())
        .merge(crate::directory::routes())
        .with_state(Arc::clone(gateway))
}

/// Answers one HTTP request at an MCP endpoint.
async fn mcp(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    if request.method() != Method::POST {
        return reply::method_not_allowed();
    }
    let plan = gateway.plan();
    let edge = match Edge::admit(&plan.settings, request).await {
        Ok(edge) => edge,
        Err(rejection) => return reply::json(Replied::rejected(None, &rejection, false)),
    };
    let streams = edge.takes_events;
    let json = edge.takes_json;
    let (notify, notifications) = mpsc::channel(plan.settings.limits.notifications);
    let work = Box::pin(answer(gateway, plan, edge, streams.then_some(notify)));
    reply::respond(work, notifications, json).await
}

/// Decodes a message and does what it asks for. What it needs, it owns: the reply may outlive the handler.
async fn answer(
    gateway: Arc<Gateway>,
    plan: Arc<Plan>,
    edge: Edge,
    notify: Option<mpsc::Sender<Bytes>>,
) -> Replied {
    let message = match envelope::decode(&edge.body, plan.settings.limits.depth) {
        Ok(message) => message,
        Err(bad) => return Replied::rejected(bad.id.as_ref(), &bad.rejection, false),
    };
    match message {
        Message::Request { id, method, mut params } => {
            let mut modern = false;
            let outcome = async {
                let meta = RequestMeta::take(&mut params)?;
                modern = revision::check(&edge.headers, &method, &params, &meta)?;
                let asked = Asked { gateway: &gateway, plan: &plan, edge: &edge, modern, notify };
                dispatch(&asked, &method, params, meta).await
            }
            .await;
            finish(&id, modern, outcome)
        }
        Message::Notification { method } => {
            tracing::trace!(method = &*method, "notified");
            Replied { status: StatusCode::ACCEPTED, body: None }
        }
        Message::Response if revision::names_modern(&edge.headers) => {
            let rejection = Rejection::InvalidRequest("clients do not send responses".to_owned());
            Replied::rejected(None, &rejection, true)
        }
        // We never ask anything of a legacy client, so this is late or lost; it is accepted as the protocol wants.
        Message::Response => Replied { status: StatusCode::ACCEPTED, body: None },
    }
}

/// A request in its setting.
pub(crate) struct Asked<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) plan: &'a Plan,
    pub(crate) edge: &'a Edge,
    pub(crate) modern: bool,
    pub(crate) notify: Option<mpsc::Sender<Bytes>>,
}

/// What a request is answered with: raw JSON.
#[derive(Debug)]
pub(crate) enum Outcome {
    Result(Bytes),
    /// An error object of the upstream, forwarded.
    Error(Bytes),
}

async fn dispatch(
    asked: &Asked<'_>,
    method: &str,
    params: crate::wire::object::RawObject<'_>,
    meta: RequestMeta<'_>,
) -> Result<Outcome, Rejection> {
    if method == "tools/call" {
        return call::call_tool(asked, params, meta).await;
    }
    let caller = identity::authenticate(&asked.plan.settings, &asked.edge.headers)?;
    let scope = asked.plan.scope(&caller.principal.tenant, asked.edge.scope())?;
    match (method, asked.modern) {
        ("tools/list", _) => methods::list_tools(asked, &caller, scope, &params).await,
        ("server/discover", true) => Ok(methods::discover()),
        ("initialize", false) => methods::initialize(&params),
        ("ping", false) => Ok(Outcome::Result(Bytes::from_static(b"{}"))),
        _ => Err(Rejection::MethodNotFound { method: method.chars().take(128).collect() }),
    }
}

fn finish(id: &RequestId, modern: bool, outcome: Result<Outcome, Rejection>) -> Replied {
    match outcome {
        Ok(Outcome::Result(result)) => {
            Replied { status: StatusCode::OK, body: Some(envelope::result(id, &result)) }
        }
        Ok(Outcome::Error(error)) => {
            let status = if modern { reply::status_of(&error) } else { StatusCode::OK };
            Replied { status, body: Some(envelope::raw_error(Some(id), &error)) }
        }
        Err(rejection) => Replied::rejected(Some(id), &rejection, modern),
    }
}
