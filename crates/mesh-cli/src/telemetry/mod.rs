//! Logs and traces of the process.
//!
//! [`Telemetry::start`] is called once, by commands that run parts of the mesh; clients of a mesh neither log nor export.

mod logs;
mod otlp;

use otlp::OtlpSink;

use crate::exit::Outcome;
use mesh_core::trace::Tracer;
use std::sync::Arc;

/// What has been set up, to be shut down at the end.
pub(crate) struct Telemetry {
    exporter: Option<Arc<OtlpSink>>,
}

impl Telemetry {
    /// Sets up logs to standard error, and the export of spans if the configuration names an endpoint.
    ///
    /// `AGENTMESH_LOG` wins over the configured level. Needs a running tokio runtime.
    pub(crate) fn start(settings: &mesh_config::Telemetry) -> Outcome<Self> {
        logs::init(settings.log, settings.level)?;
        let exporter = settings.otlp.as_deref().map(OtlpSink::new).transpose()?.map(Arc::new);
        Ok(Self { exporter })
    }

    /// What hosts and gateways record spans with.
    pub(crate) fn tracer(&self) -> Tracer {
        self.exporter.as_ref().map_or_else(Tracer::default, |sink| Tracer::new(Arc::clone(sink) as _))
    }

    /// Sends what is left, for a few seconds at most.
    pub(crate) async fn shutdown(self) {
        if let Some(exporter) = self.exporter {
            exporter.shutdown().await;
        }
    }
}
