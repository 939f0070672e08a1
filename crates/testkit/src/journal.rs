//! A journal that can be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    is_broken: Arc<AtomicBool>,
}

impl MemoryJournal {
    /// From now on no session can be recorded.
    pub fn break_down(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }

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
    async fn record(&self, record: SessionRecord) -> bool {
        if self.is_broken.load(Ordering::SeqCst) {
            return false;
        }
        self.unpooled(&record.sandbox).await;
        self.records.lock().push(record);
        true
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
