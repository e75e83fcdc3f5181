//! `grpc.health.v1`: what readiness probes and load balancers ask.

use crate::host::Host;
use a2a_pb::proto::a2a_service_server::SERVICE_NAME;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watcher's host is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Readiness(pub(super) Arc<Host>);

/// Of the whole server, or of the one service it has.
fn status(host: &Host, service: &str) -> Option<ServingStatus> {
    (service.is_empty() || service == SERVICE_NAME).then(|| match host.not_ready() {
        None => ServingStatus::Serving,
        Some(_) => ServingStatus::NotServing,
    })
}

#[async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = status(&self.0, &request.get_ref().service).ok_or_else(|| {
            Status::not_found("no such service; the one of this host is lf.a2a.v1.A2AService")
        })?;
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (host, service) = (Arc::clone(&self.0), request.into_inner().service);
        let changes = stream::unfold(None, move |before| {
            let (host, service) = (Arc::clone(&host), service.clone());
            async move {
                loop {
                    let now = status(&host, &service).unwrap_or(ServingStatus::ServiceUnknown);
                    if before != Some(now) {
                        return Some((Ok(HealthCheckResponse { status: now.into() }), Some(now)));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(INTERVAL) => {}
                        () = host.closing.cancelled() => return None,
                    }
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
