//! The gRPC binding (section 10), on the same port as the others.

mod decode;
mod encode;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzz;
mod health;
mod service;
mod status;

use crate::host::Host;
use a2a_pb::proto::a2a_service_server::{A2aServiceServer, SERVICE_NAME};
use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, post_service};
use http::{Request, Response, header};
use std::convert::Infallible;
use std::sync::Arc;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_reflection::server::Builder;
use tower::{Service, service_fn};

/// What gRPC clients ask what else there is.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/{*method}";

/// `a2a.proto` of 1.0.1 and what it imports, as a `FileDescriptorSet` without comments: what the build of a2a-pb leaves as
/// `a2a-descriptor.bin`, less its source positions. A test compares it with the service that is served.
const DESCRIPTORS: &[u8] = include_bytes!("a2a.descriptors");

/// The routes of the services.
pub(super) fn router(host: &Arc<Host>) -> Router<Arc<Host>> {
    let limit = host.settings.body_limit();
    let binding = A2aServiceServer::new(service::Binding(Arc::clone(host)))
        .max_decoding_message_size(limit)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let health = HealthServer::new(health::Readiness(Arc::clone(host))).max_decoding_message_size(limit);
    let router = Router::new()
        .route(&format!("/{SERVICE_NAME}/{{*method}}"), route(binding))
        .route(&format!("/{}/{{*method}}", health_server::SERVICE_NAME), route(health));
    let reflection = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match reflection {
        Ok(reflection) => router.route(REFLECTION, route(reflection.max_decoding_message_size(limit))),
        Err(error) => {
            tracing::error!(%error, "gRPC clients cannot ask what is served");
            router
        }
    }
}

/// What is not gRPC does not reach the service, and what it cannot decode is not called its own fault.
fn route<S>(service: S) -> MethodRouter<Arc<Host>>
where
    S: Service<Request<Body>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    post_service(service_fn(move |request: Request<Body>| {
        let mut service = service.clone();
        async move {
            let content_type = request.headers().get(header::CONTENT_TYPE);
            if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
                return Ok(status::no_grpc());
            }
            service.call(request).await.map(status::blame)
        }
    }))
}
