//! One call, as it is written down: its audit record, its metrics, its spans, its log line.

use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::metrics::UNKNOWN;
use crate::rejection::Rejection;
use crate::server::Route;
use mesh_core::trace::{Span, SpanKind, TraceContext};
use mesh_policy::{Action, AuditEntry, Decision, Outcome};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The place of a call in its trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTrace {
    /// The caller's span.
    pub(crate) parent: Option<u64>,
    /// Ours.
    pub(crate) server: TraceContext,
    /// The one that the upstream sees.
    pub(crate) client: TraceContext,
}

impl CallTrace {
    pub(crate) fn new(traceparent: Option<&str>) -> Self {
        let parent = traceparent.and_then(TraceContext::parse);
        let server = parent.map_or_else(TraceContext::root, |parent| parent.child());
        Self { parent: parent.map(|parent| parent.span_id), server, client: server.child() }
    }
}

/// An open call. It is written down exactly once: when it is closed, or, with the outcome "client gone", when the future
/// that held it is dropped.
pub(crate) struct Observed {
    gateway: Arc<Gateway>,
    method: &'static str,
    audit: Option<AuditEntry>,
    trace: CallTrace,
    started: Instant,
    start_time: mesh_core::Timestamp,
    sent: Option<mesh_core::Timestamp>,
    tenant: String,
    upstream: Option<Arc<str>>,
    tool: String,
    metric: String,
    /// Shutdown waits for it.
    open: Option<TaskTrackerToken>,
}

impl Observed {
    /// Opens the record. Without one, there is no call. `tool` is what the request names: a tool, a prompt, a URI.
    pub(crate) fn open(
        gateway: &Arc<Gateway>,
        trace: CallTrace,
        (method, action): (&'static str, Action),
        tool: &str,
        arguments: Option<&str>,
    ) -> Result<Self, Rejection> {
        let clock = Arc::clone(&gateway.wiring.clock);
        let mut audit =
            AuditEntry::open(&*gateway.wiring.audit, clock, action, &trace.server).map_err(|error| {
                tracing::error!(%error, "a call was refused: it cannot be audited");
                Rejection::Audit
            })?;
        let shown: String = tool.chars().take(128).collect();
        audit.note(|record| {
            record.tool = Some(shown.clone());
            record.arguments_sha256 = arguments.map(digest);
        });
        Ok(Self {
            gateway: Arc::clone(gateway),
            method,
            audit: Some(audit),
            trace,
            started: Instant::now(),
            start_time: gateway.wiring.clock.now(),
            sent: None,
            tenant: String::new(),
            upstream: None,
            tool: shown,
            metric: UNKNOWN.to_owned(),
            open: None,
        })
    }

    fn note(&mut self, write: impl FnOnce(&mut mesh_policy::AuditRecord)) {
        if let Some(audit) = &mut self.audit {
            audit.note(write);
        }
    }

    pub(crate) fn admitted(&mut self, open: TaskTrackerToken) {
        self.open = Some(open);
    }

    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.tenant = caller.principal.tenant.to_string();
        self.note(|record| {
            record.caller(&caller.principal);
            record.task_id = caller.task.clone();
        });
    }

    pub(crate) fn route(&mut self, route: &Route<'_>) {
        self.upstream = Some(Arc::clone(&route.upstream.id));
        self.tool = route.tool.to_string();
        if let (Some(known), "tools/call") = (&route.known, self.method) {
            self.metric.clone_from(&known.federated);
        }
        self.note(|record| {
            record.upstream = Some(route.upstream.id.to_string());
            record.tool = Some(route.tool.to_string());
        });
    }

    /// The route by which the call goes in the end: another version of the upstream may take it.
    pub(crate) fn served_by(&mut self, route: &Route<'_>) {
        if self.upstream.as_ref() != Some(&route.upstream.id) {
            self.upstream(&route.upstream.id);
        }
    }

    /// The upstream is known, but not which of its tools was meant.
    pub(crate) fn upstream(&mut self, id: &str) {
        self.upstream = Some(id.into());
        self.note(|record| record.upstream = Some(id.to_owned()));
    }

    pub(crate) fn decided(&mut self, decision: &Decision) {
        if let Some(audit) = &mut self.audit {
            audit.decided(decision);
        }
    }

    /// The request goes to the upstream now.
    pub(crate) fn sent(&mut self) {
        self.sent = Some(self.gateway.wiring.clock.now());
    }

    /// Writes the call down.
    pub(crate) fn close(mut self, outcome: Outcome, kind: Option<&'static str>) {
        self.finish(outcome, kind);
    }

    fn finish(&mut self, outcome: Outcome, kind: Option<&'static str>) {
        let Some(audit) = self.audit.take() else { return };
        audit.close(outcome, kind);
        let took = self.started.elapsed();
        let error = (outcome != Outcome::Ok).then(|| kind.unwrap_or_else(|| outcome.name()));
        let method = self.method;
        if method == "tools/call" {
            self.gateway.metrics.ended(&self.metric, took, error);
        }
        self.spans(error);
        let (trace_id, upstream) =
            (self.trace.server.trace_id_hex(), self.upstream.as_deref().unwrap_or_default());
        let (tenant, tool, outcome, ms) = (&self.tenant, &self.tool, outcome.name(), took.as_millis());
        match error {
            None => tracing::debug!(trace_id, tenant, upstream, tool, outcome, ms, "{method}"),
            Some(error) => tracing::info!(trace_id, tenant, upstream, tool, outcome, error, ms, "{method}"),
        }
    }

    fn spans(&self, error: Option<&'static str>) {
        let end = self.gateway.wiring.clock.now();
        let attributes = || {
            vec![
                ("mcp.method.name", self.method.to_owned()),
                ("gen_ai.tool.name", self.tool.clone()),
                ("agentmesh.upstream", self.upstream.as_deref().unwrap_or_default().to_owned()),
                ("agentmesh.tenant", self.tenant.clone()),
            ]
        };
        let span = |context, parent, kind, start| Span {
            context,
            parent,
            name: span_name(self.method),
            kind,
            start,
            end,
            attributes: attributes(),
            error: error.map(str::to_owned),
        };
        let tracer = &self.gateway.wiring.tracer;
        if let Some(sent) = self.sent {
            let parent = Some(self.trace.server.span_id);
            tracer.record(|| span(self.trace.client, parent, SpanKind::Client, sent));
        }
        tracer.record(|| span(self.trace.server, self.trace.parent, SpanKind::Server, self.start_time));
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.finish(Outcome::ClientGone, None);
    }
}

fn span_name(method: &str) -> &'static str {
    match method {
        "tools/call" => "mcp tools/call",
        "prompts/get" => "mcp prompts/get",
        "resources/read" => "mcp resources/read",
        "completion/complete" => "mcp completion/complete",
        "resources/subscribe" => "mcp resources/subscribe",
        "resources/unsubscribe" => "mcp resources/unsubscribe",
        _ => "mcp tasks",
    }
}

fn digest(arguments: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(arguments.as_bytes()) {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
