//! The endpoints.

use crate::readiness::{Readiness, Report};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// What the metrics are encoded as.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoints speak of.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// All metrics of the process; complete before it is handed over here.
    registry: Arc<Registry>,
    /// What the components say.
    readiness: Readiness,
}

impl AdminState {
    /// Joins the two.
    #[must_use]
    pub fn new(registry: Registry, readiness: Readiness) -> Self {
        Self { registry: Arc::new(registry), readiness }
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// The process runs and answers; nothing more is claimed.
async fn healthz() -> Response {
    answer(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned())
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let report: Report = state.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, "application/json", serde_json::to_string(&report).unwrap_or_default())
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &state.registry) {
        Ok(()) => answer(StatusCode::OK, METRICS_CONTENT_TYPE, text),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "see the log\n".to_owned())
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Build, register_process};
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    async fn ask(state: &AdminState, path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(state.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let content_type = parts.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    fn state() -> AdminState {
        let mut registry = Registry::default();
        let build = Build { version: "1.2.3".to_owned(), commit: Some("abc".to_owned()) };
        register_process(&mut registry, build, mesh_core::Timestamp(1_700_000_000_500));
        AdminState::new(registry, Readiness::new())
    }

    #[tokio::test]
    async fn the_process_is_alive_while_it_is_not_ready() {
        let state = state();
        let host = state.readiness.component("host");
        assert_eq!(ask(&state, "/healthz").await.0, StatusCode::OK);
        let (status, content_type, body) = ask(&state, "/readyz").await;
        assert_eq!((status, content_type.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "application/json"));
        assert_eq!(body, r#"{"ready":false,"components":{"host":{"ready":false,"reason":"starting"}}}"#);
        host.set_ready();
        let (status, _, body) = ask(&state, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, r#"{"ready":true,"components":{"host":{"ready":true}}}"#);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (status, content_type, body) = ask(&state(), "/metrics").await;
        assert_eq!((status, content_type.as_str()), (StatusCode::OK, METRICS_CONTENT_TYPE));
        assert!(body.contains("agentmesh_build_info{version=\"1.2.3\",commit=\"abc\"} 1\n"), "{body}");
        assert!(body.contains("process_start_time_seconds 1700000000.5\n"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
        if cfg!(target_os = "linux") {
            for name in ["process_resident_memory_bytes ", "process_open_fds "] {
                let line = body.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                assert!(line.parse::<u64>().unwrap() > 0);
            }
        }
    }
}
