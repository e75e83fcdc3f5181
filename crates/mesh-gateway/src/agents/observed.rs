//! One request to an agent, as it is written down: its audit record, its metrics, its spans, its log line.

use super::operation::Operation;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::metrics::UNKNOWN;
use crate::observe::CallTrace;
use crate::rejection::Rejection;
use mesh_core::trace::{Span, SpanKind};
use mesh_policy::{AuditEntry, Decision, Outcome};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// An open request. It is written down exactly once: when it is closed, or, with the outcome "client gone", when whatever
/// held it is dropped. The audit record of a stream is written when the stream begins: a stream may last for days, and
/// the queue of the audit has an end.
pub(crate) struct ObservedRequest {
    gateway: Arc<Gateway>,
    audit: Option<AuditEntry>,
    trace: CallTrace,
    operation: Operation,
    started: Instant,
    start_time: mesh_core::Timestamp,
    sent: Option<mesh_core::Timestamp>,
    tenant: String,
    /// Of an agent that there is.
    agent: Option<String>,
    /// Until when it counts as a call that shutdown waits for.
    open: Option<TaskTrackerToken>,
    streaming: bool,
    ended: bool,
}

impl ObservedRequest {
    /// Opens the record. Without one, nothing is passed on.
    pub(crate) fn open(
        gateway: &Arc<Gateway>,
        trace: CallTrace,
        operation: Operation,
        agent: &str,
    ) -> Result<Self, Rejection> {
        let clock = Arc::clone(&gateway.wiring.clock);
        let action = operation.action();
        let mut audit =
            AuditEntry::open(&*gateway.wiring.audit, clock, action, &trace.server).map_err(|error| {
                tracing::error!(%error, "a request to an agent was refused: it cannot be audited");
                Rejection::Audit
            })?;
        audit.note(|record| {
            record.operation = Some(operation.name().to_owned());
            record.target_agent = Some(agent.chars().take(128).collect());
        });
        Ok(Self {
            audit: Some(audit),
            trace,
            operation,
            started: Instant::now(),
            start_time: gateway.wiring.clock.now(),
            sent: None,
            tenant: String::new(),
            agent: None,
            open: None,
            streaming: false,
            ended: false,
            gateway: Arc::clone(gateway),
        })
    }

    pub(crate) fn admitted(&mut self, open: TaskTrackerToken) {
        self.open = Some(open);
    }

    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.tenant = caller.principal.tenant.to_string();
        if let Some(audit) = &mut self.audit {
            audit.note(|record| {
                record.caller(&caller.principal);
                record.task_id = caller.task.clone();
            });
        }
    }

    pub(crate) fn agent(&mut self, name: &str) {
        self.agent = Some(name.to_owned());
    }

    pub(crate) fn decided(&mut self, decision: &Decision) {
        if let Some(audit) = &mut self.audit {
            audit.decided(decision);
        }
    }

    /// The request goes to the agent now.
    pub(crate) fn sent(&mut self) {
        self.sent = Some(self.gateway.wiring.clock.now());
    }

    /// The answer is a stream, which begins now.
    pub(crate) fn streams(&mut self) {
        if let Some(audit) = self.audit.take() {
            audit.close(Outcome::Ok, None);
        }
        self.streaming = true;
        self.open = None;
        self.gateway.metrics.agents.stream(self.label(), 1);
    }

    fn label(&self) -> &str {
        self.agent.as_deref().unwrap_or(UNKNOWN)
    }

    /// Writes the request down; only the first time counts.
    pub(crate) fn close(&mut self, outcome: Outcome, kind: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(audit) = self.audit.take() {
            audit.close(outcome, kind);
        }
        self.open = None;
        let took = self.started.elapsed();
        let metrics = &self.gateway.metrics.agents;
        if self.streaming {
            metrics.stream(self.label(), -1);
        }
        metrics.ended(self.label(), self.operation, outcome, took);
        // A client that has what it wants leaves a stream as it likes.
        let error = (!matches!(outcome, Outcome::Ok | Outcome::ClientGone))
            .then(|| kind.unwrap_or_else(|| outcome.name()));
        self.spans(error);
        let (trace_id, agent, ms) = (self.trace.server.trace_id_hex(), self.label(), took.as_millis());
        let (tenant, operation, outcome) = (&self.tenant, self.operation.name(), outcome.name());
        match error {
            None => tracing::debug!(trace_id, tenant, agent, operation, outcome, ms, "a2a"),
            Some(error) => tracing::info!(trace_id, tenant, agent, operation, outcome, error, ms, "a2a"),
        }
    }

    fn spans(&self, error: Option<&'static str>) {
        let end = self.gateway.wiring.clock.now();
        let attributes = || {
            vec![
                ("a2a.operation", self.operation.name().to_owned()),
                ("agentmesh.agent", self.label().to_owned()),
                ("agentmesh.tenant", self.tenant.clone()),
            ]
        };
        let span = |context, parent, kind, start| Span {
            context,
            parent,
            name: "a2a relay",
            kind,
            start,
            end,
            attributes: attributes(),
            error: error.map(str::to_owned),
        };
        let tracer = &self.gateway.wiring.tracer;
        if let Some(sent) = self.sent {
            tracer
                .record(|| span(self.trace.client, Some(self.trace.server.span_id), SpanKind::Client, sent));
        }
        tracer.record(|| span(self.trace.server, self.trace.parent, SpanKind::Server, self.start_time));
    }
}

impl Drop for ObservedRequest {
    fn drop(&mut self) {
        self.close(Outcome::ClientGone, None);
    }
}
