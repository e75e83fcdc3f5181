//! Spans to an OpenTelemetry collector, over OTLP/HTTP.

use crate::exit::{Failure, Outcome};
use crate::http;
use mesh_core::trace::{Span, SpanKind, SpanSink};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many spans wait at most; what comes then is dropped.
const MAX_QUEUE: usize = 8192;
/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last export may hold up the exit.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer of a collector that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Sends spans in batches; never blocks who hands them over.
#[derive(Debug)]
pub(crate) struct OtlpSink {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl OtlpSink {
    /// Sends to the collector at `endpoint`, its base URL or the URL for traces. Needs a running tokio runtime.
    pub(crate) fn new(endpoint: &str) -> Outcome<Self> {
        let fail = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot export traces: {error}"));
        http::parse_url(endpoint).map_err(|error| fail(&error))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| fail(&error))?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_url(endpoint))
            .with_timeout(EXPORT_TIMEOUT)
            .with_http_client(OnRuntime { client, runtime: tokio::runtime::Handle::current() })
            .build()
            .map_err(|error| fail(&error))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(MAX_QUEUE).build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        processor.set_resource(
            &Resource::builder()
                .with_service_name("agentmesh")
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        );
        Ok(Self { processor, scope: InstrumentationScope::builder("agentmesh").build() })
    }

    /// Sends what is left.
    pub(crate) async fn shutdown(self: Arc<Self>) {
        let work =
            tokio::task::spawn_blocking(move || self.processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
        match tokio::time::timeout(SHUTDOWN_TIMEOUT, work).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans were not exported"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last spans were not exported in time"),
        }
    }
}

impl SpanSink for OtlpSink {
    fn export(&self, span: Span) {
        self.processor.on_end(span_data(span, &self.scope));
    }
}

fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let context = span.context;
    let trace_id = TraceId::from(context.trace_id);
    SpanData {
        span_context: SpanContext::new(
            trace_id,
            SpanId::from(context.span_id),
            TraceFlags::new(context.flags),
            false,
            TraceState::default(),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.kind == SpanKind::Server && span.parent.is_some(),
        span_kind: match span.kind {
            SpanKind::Server => OtelKind::Server,
            SpanKind::Client => OtelKind::Client,
            SpanKind::Internal => OtelKind::Internal,
        },
        name: Cow::Borrowed(span.name),
        start_time: time(span.start),
        end_time: time(span.end),
        attributes: span.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}

fn time(at: mesh_core::Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or_default())
}

fn traces_url(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") }
}

/// Sends from the processor's own thread, which has no runtime, through ours.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let mut response = client.execute(request.try_into()?).await?;
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                *headers = response.headers().clone();
            }
            let mut body = bytes::BytesMut::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                    return Err("the collector's answer is too large".into());
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, HttpError>(answer.body(body.freeze())?)
        };
        self.runtime.spawn(async move { tokio::time::timeout(EXPORT_TIMEOUT, exchange).await? }).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::State;
    use axum::http::{HeaderMap, Uri};
    use mesh_core::{Timestamp, TraceContext};
    use tokio::sync::mpsc;

    type Received = (String, String, Vec<u8>);

    async fn collect(
        State(to): State<mpsc::Sender<Received>>,
        uri: Uri,
        headers: HeaderMap,
        body: axum::body::Bytes,
    ) {
        let content_type = headers["content-type"].to_str().unwrap().to_owned();
        to.send((uri.path().to_owned(), content_type, body.to_vec())).await.unwrap();
    }

    fn span(name: &'static str) -> Span {
        Span {
            context: TraceContext::root(),
            parent: Some(7),
            name,
            kind: SpanKind::Server,
            start: Timestamp(1_700_000_000_000),
            end: Timestamp(1_700_000_000_250),
            attributes: vec![("task", "t-1".to_owned())],
            error: Some("it broke".to_owned()),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_reach_the_collector_with_their_own_ids() {
        let (sender, mut received) = mpsc::channel(8);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let collector = axum::Router::new().fallback(collect).with_state(sender);
        tokio::spawn(axum::serve(listener, collector).into_future());

        let sink = Arc::new(OtlpSink::new(&endpoint).unwrap());
        let span = span("a2a SendMessage");
        let context = span.context;
        sink.export(span);
        sink.shutdown().await;

        let (path, content_type, body) = received.recv().await.unwrap();
        assert_eq!((path.as_str(), content_type.as_str()), ("/v1/traces", "application/x-protobuf"));
        let has = |wanted: &[u8]| body.windows(wanted.len()).any(|window| window == wanted);
        assert!(has(&context.trace_id.to_be_bytes()) && has(&context.span_id.to_be_bytes()));
        assert!(has(&7_u64.to_be_bytes()));
        for text in ["a2a SendMessage", "t-1", "it broke", "agentmesh", "service.name"] {
            assert!(has(text.as_bytes()), "{text}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_gone_holds_nobody_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let sink = Arc::new(OtlpSink::new(&endpoint).unwrap());
        for _ in 0..2 * MAX_QUEUE {
            sink.export(span("a2a SendMessage"));
        }
        tokio::time::timeout(SHUTDOWN_TIMEOUT * 2, sink.shutdown()).await.unwrap();
    }

    #[test]
    fn the_endpoint_may_be_the_base_or_the_whole_url() {
        assert_eq!(traces_url("http://h:4318"), "http://h:4318/v1/traces");
        assert_eq!(traces_url("http://h:4318/v1/traces"), "http://h:4318/v1/traces");
    }
}
