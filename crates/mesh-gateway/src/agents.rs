//! The way to agents: A2A of both versions and all three bindings, to our hosts and to others.
//!
//! - `relay`: the phases that every request passes, in their order.
//! - `operation`, `peek`, `grpc`, `headers`: what is read of requests, and what is passed on; pure.
//! - `forward`, `clients`: which target a request goes to, and over which connection.
//! - `body`: answers on their way, which are watched and never held.
//! - `extended`: the one answer that is changed: a card.
//! - `refusal`: errors in the words of each binding.
//! - `observed`, `metrics`: how requests are written down.

mod body;
mod clients;
mod extended;
mod forward;
mod grpc;
mod headers;
mod metrics;
mod observed;
mod operation;
mod peek;
mod refusal;
mod relay;

pub(crate) use clients::{Clients, LaneUse, Trust};
pub(crate) use metrics::AgentMetrics;
pub(crate) use refusal::Binding;

use crate::directory;
use crate::gateway::Gateway;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::Method;
use relay::Route;
use std::sync::Arc;

/// The services of gRPC, in 1.0 and in 0.3.
const SERVICES: [&str; 2] = ["lf.a2a.v1.A2AService", "a2a.v1.A2AService"];

pub(crate) fn routes() -> Router<Arc<Gateway>> {
    let router = Router::new()
        .route("/agents/{name}", any(agent))
        .route("/agents/{name}/", any(agent))
        .route("/agents/{name}/{*rest}", any(agent));
    SERVICES
        .into_iter()
        .fold(router, |router, service| router.route(&format!("/{service}/{{method}}"), any(named)))
}

/// Everything at and below an agent's address.
async fn agent(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let below = uri.path().strip_prefix("/agents/").unwrap_or_default();
    let (name, rest) = below.find('/').map_or((below, ""), |at| below.split_at(at));
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.method(), rest) {
        (_, "/.well-known/agent-card.json" | "/.well-known/agent.json") if read => {
            directory::card(&gateway, name, &uri, &headers).await
        }
        (&Method::PUT, "" | "/") => Box::pin(directory::register(&gateway, name, request)).await,
        (&Method::DELETE, "" | "/") => Box::pin(directory::remove(&gateway, name, request)).await,
        (_, "" | "/") if read => directory::entry(&gateway, name, &uri, &headers).await,
        _ => {
            let route = Route { name: Some(name.to_owned()), rest: rest.to_owned() };
            Box::pin(relay::relay(gateway, route, request)).await
        }
    }
}

/// gRPC without a prefix: the request itself names the agent.
async fn named(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let route = Route { name: None, rest: request.uri().path().to_owned() };
    Box::pin(relay::relay(gateway, route, request)).await
}
