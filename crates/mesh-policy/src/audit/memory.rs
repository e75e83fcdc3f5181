//! Records in memory, for tests.

use super::{AuditError, AuditRecord, AuditSink, AuditSlot};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Records {
    written: Vec<AuditRecord>,
    reserved: usize,
    failing: Option<String>,
}

/// Keeps up to a fixed number of records.
#[derive(Clone)]
pub struct MemoryAudit {
    records: Arc<Mutex<Records>>,
    capacity: usize,
}

impl MemoryAudit {
    /// Room for `capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { records: Arc::default(), capacity }
    }

    /// What was written so far.
    pub fn records(&self) -> Vec<AuditRecord> {
        self.lock().written.clone()
    }

    /// Makes every reservation fail with this reason, or work again.
    pub fn fail(&self, reason: Option<&str>) {
        self.lock().failing = reason.map(str::to_owned);
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl AuditSink for MemoryAudit {
    fn reserve(&self) -> Result<Box<dyn AuditSlot>, AuditError> {
        let mut records = self.lock();
        if let Some(reason) = &records.failing {
            return Err(AuditError::Failing(reason.clone()));
        }
        if records.written.len() + records.reserved >= self.capacity {
            return Err(AuditError::Full);
        }
        records.reserved += 1;
        Ok(Box::new(Slot { sink: self.clone() }))
    }

    async fn flush(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

struct Slot {
    sink: MemoryAudit,
}

impl AuditSlot for Slot {
    fn commit(self: Box<Self>, record: AuditRecord) {
        self.sink.lock().written.push(record);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.sink.lock().reserved -= 1;
    }
}
