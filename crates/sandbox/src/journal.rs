//! Where the start and the end of every sandbox is written down.

use std::fmt;

use async_trait::async_trait;
use innkeep_store::{SessionRecord, Store};

/// Keeps the present or last sandbox of each session. Written off the request path; a failure is logged and costs the record.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Inserts or replaces the session's record.
    async fn record(&self, record: SessionRecord);
}

#[async_trait]
impl Journal for Store {
    async fn record(&self, record: SessionRecord) {
        let key = record.key.clone();
        if let Err(error) = self.put_session(record).await {
            tracing::error!(session.key = %key, error = &error as &dyn std::error::Error, "session {key} could not be recorded");
        }
    }
}
