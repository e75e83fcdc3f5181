//! One call's record while the call runs.

use super::{AuditError, AuditRecord, AuditSink, AuditSlot, DecisionRecord, Outcome};
use crate::{Action, Decision};
use mesh_core::{Clock, TraceContext};
use std::sync::Arc;

/// The open record of a call. It is committed exactly once: by [`AuditEntry::close`] with the outcome, or, when the
/// future that held it was dropped because the client left, as [`Outcome::ClientGone`].
pub struct AuditEntry {
    clock: Arc<dyn Clock>,
    open: Option<(Box<dyn AuditSlot>, AuditRecord)>,
}

impl AuditEntry {
    /// Opens the record of a call; the call must be refused when this fails.
    pub fn open(
        sink: &dyn AuditSink,
        clock: Arc<dyn Clock>,
        action: Action,
        trace: &TraceContext,
    ) -> Result<Self, AuditError> {
        let slot = sink.reserve()?;
        let record = AuditRecord {
            time: clock.now(),
            id: uuid::Uuid::now_v7().to_string(),
            action: action.name().to_owned(),
            tenant: None,
            principal: None,
            principal_kind: None,
            on_behalf_of: None,
            agent: None,
            task_id: None,
            operation: None,
            target_agent: None,
            upstream: None,
            tool: None,
            decision: None,
            outcome: Outcome::ClientGone,
            error_kind: None,
            duration_ms: 0,
            trace_id: trace.trace_id_hex(),
            arguments_sha256: None,
        };
        Ok(Self { clock, open: Some((slot, record)) })
    }

    /// Writes down what became known about the call.
    pub fn note(&mut self, write: impl FnOnce(&mut AuditRecord)) {
        if let Some((_, record)) = &mut self.open {
            write(record);
        }
    }

    /// Writes down the access decision.
    pub fn decided(&mut self, decision: &Decision) {
        self.note(|record| {
            record.decision =
                Some(DecisionRecord { allowed: decision.allowed(), rule: decision.rule().to_owned() });
        });
    }

    /// Ends the call.
    pub fn close(mut self, outcome: Outcome, error_kind: Option<&str>) {
        self.commit(outcome, error_kind);
    }

    fn commit(&mut self, outcome: Outcome, error_kind: Option<&str>) {
        if let Some((slot, mut record)) = self.open.take() {
            let took = self.clock.now().millis().saturating_sub(record.time.millis());
            record.duration_ms = u64::try_from(took).unwrap_or_default();
            record.outcome = outcome;
            record.error_kind = error_kind.map(str::to_owned);
            slot.commit(record);
        }
    }
}

impl Drop for AuditEntry {
    fn drop(&mut self) {
        self.commit(Outcome::ClientGone, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryAudit;
    use mesh_core::{Principal, SystemClock};

    fn open(sink: &MemoryAudit) -> Result<AuditEntry, AuditError> {
        AuditEntry::open(sink, Arc::new(SystemClock), Action::CallTool, &TraceContext::root())
    }

    #[test]
    fn a_closed_entry_leaves_one_record_and_a_dropped_one_says_that_the_client_left() {
        let sink = MemoryAudit::new(8);
        let mut entry = open(&sink).unwrap();
        entry.note(|record| record.caller(&Principal::local()));
        entry.close(Outcome::Timeout, Some("timeout"));
        drop(open(&sink).unwrap());
        let outcomes: Vec<_> = sink.records().iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, [Outcome::Timeout, Outcome::ClientGone]);
    }

    #[test]
    fn without_room_for_a_record_there_is_no_call() {
        let sink = MemoryAudit::new(1);
        let held = open(&sink).unwrap();
        assert!(matches!(open(&sink), Err(AuditError::Full)));
        held.close(Outcome::Ok, None);
        assert_eq!(sink.records().len(), 1);
    }

    #[test]
    fn a_record_is_camel_case_and_reads_back() {
        let sink = MemoryAudit::new(1);
        let mut entry = open(&sink).unwrap();
        entry.note(|record| record.caller(&Principal::agent_for(&"sales".into(), &Principal::local())));
        entry.close(Outcome::ToolError, None);
        let record = &sink.records()[0];
        let json = serde_json::to_value(record).unwrap();
        assert_eq!((&json["onBehalfOf"], &json["outcome"]), (&"local".into(), &"tool_error".into()));
        assert_eq!(&serde_json::from_value::<AuditRecord>(json).unwrap(), record);
    }
}
