//! A journal that can be read.

use std::sync::Arc;

use async_trait::async_trait;
use innkeep_sandbox::Journal;
use innkeep_store::SessionRecord;
use parking_lot::Mutex;

/// Keeps every record in the order in which it came.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    records: Arc<Mutex<Vec<SessionRecord>>>,
}

impl MemoryJournal {
    /// Returns all records so far.
    pub fn records(&self) -> Vec<SessionRecord> {
        self.records.lock().clone()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn record(&self, record: SessionRecord) {
        self.records.lock().push(record);
    }
}
