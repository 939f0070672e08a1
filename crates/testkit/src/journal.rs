//! A journal that can be read.

use std::sync::Arc;

use async_trait::async_trait;
use innkeep_sandbox::Journal;
use innkeep_store::{PoolMemberRecord, SessionRecord};
use innkeep_types::{SandboxId, SessionKey};
use parking_lot::Mutex;

/// Keeps every record in the order in which it came.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    records: Arc<Mutex<Vec<SessionRecord>>>,
    waiting: Arc<Mutex<Vec<PoolMemberRecord>>>,
}

impl MemoryJournal {
    /// Returns all records so far.
    pub fn records(&self) -> Vec<SessionRecord> {
        self.records.lock().clone()
    }

    /// Returns the sandboxes on record that wait for a session.
    pub fn waiting(&self) -> Vec<PoolMemberRecord> {
        self.waiting.lock().clone()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn record(&self, record: SessionRecord) {
        self.unpooled(&record.sandbox).await;
        self.records.lock().push(record);
    }

    async fn last(&self, key: &SessionKey) -> Result<Option<SessionRecord>, innkeep_store::Error> {
        Ok(self.records.lock().iter().rev().find(|record| record.key == *key).cloned())
    }

    async fn pooled(&self, record: PoolMemberRecord) {
        self.waiting.lock().push(record);
    }

    async fn unpooled(&self, sandbox: &SandboxId) {
        self.waiting.lock().retain(|record| record.sandbox != *sandbox);
    }
}
