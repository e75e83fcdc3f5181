//! The part of the admin API that concerns the gateway: its upstreams, and reloads.

use crate::discovery::ReloadHandle;
use crate::gateway::{Gateway, TargetHealth};
use crate::server::check_origin;
use crate::settings::{Hosts, Settings};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Clone)]
struct Admin {
    gateway: Arc<Gateway>,
    reload: ReloadHandle,
    origin: Arc<Settings>,
}

/// `GET /api/upstreams`, `GET /api/reload` (what came of the last one), `POST /api/reload`. For the admin listener, which answers the
/// `hosts`; requests that a web page makes a browser send are refused.
pub(crate) fn router(gateway: &Arc<Gateway>, reload: ReloadHandle, hosts: Hosts) -> Router {
    let origin = Arc::new(Settings { hosts, ..Settings::default() });
    let admin = Admin { gateway: Arc::clone(gateway), reload, origin };
    Router::new()
        .route("/api/upstreams", get(upstreams))
        .route("/api/reload", get(last).post(reload_now))
        .layer(axum::middleware::from_fn_with_state(admin.clone(), guard))
        .with_state(admin)
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match check_origin(&admin.origin, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(rejection) => {
            answer(rejection.status(false), &json!({ "error": { "message": rejection.message() } }))
        }
    }
}

async fn upstreams(State(admin): State<Admin>) -> Response {
    let plan = admin.gateway.plan();
    let places = admin.reload.places();
    let place = |id: &str| places.get(id);
    let health = admin.gateway.health();
    let upstream = |(id, config): (&String, &mesh_config::Upstream)| {
        let health = health.iter().find(|health| health.id == *id);
        json!({
            "id": id,
            "source": place(id),
            "category": config.category,
            "description": config.description,
            "available": health.is_some_and(|health| health.tools.is_some() && health.failure.is_none()),
            "tools": health.and_then(|health| health.tools),
            "failure": health.and_then(|health| health.failure.as_deref()),
            "breaker": health.and_then(|health| health.breaker),
            "targets": health.map(|health| targets(&health.targets)),
            "split": config.split,
            "shadow": config.shadow,
        })
    };
    let toolset = |(id, config): (&String, &mesh_config::Toolset)| json!({ "id": id, "source": place(id), "description": config.description });
    let upstreams: Vec<Value> = plan.settings.upstreams.iter().map(upstream).collect();
    let toolsets: Vec<Value> = plan.settings.toolsets.iter().map(toolset).collect();
    answer(StatusCode::OK, &json!({ "upstreams": upstreams, "toolsets": toolsets }))
}

fn targets(targets: &[TargetHealth]) -> Vec<Value> {
    let target = |target: &TargetHealth| {
        json!({
            "target": target.target,
            "inFlight": target.in_flight,
            "ejected": target.ejected,
            "ill": target.ill,
        })
    };
    targets.iter().map(target).collect()
}

async fn last(State(admin): State<Admin>) -> Response {
    answer(StatusCode::OK, &json!(&*admin.reload.last()))
}

async fn reload_now(State(admin): State<Admin>) -> Response {
    match admin.reload.reload().await {
        Some(reloaded) => answer(StatusCode::OK, &json!(reloaded)),
        None => {
            let message = "the gateway is stopping, or too many reloads wait already";
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": { "message": message } }))
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers =
        [(http::header::CONTENT_TYPE, "application/json"), (http::header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
