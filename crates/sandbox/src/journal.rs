//! Where the start and the end of every sandbox is written down.

use std::fmt;

use async_trait::async_trait;
use innkeep_store::{PoolMemberRecord, SessionRecord, Store};
use innkeep_types::{SandboxId, SessionKey};

/// Keeps the present or last sandbox of each session, and those that wait for one. Written off the request path; a failure is logged and costs the record.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Inserts or replaces the session's record; tells whether it is there now.
    async fn record(&self, record: SessionRecord) -> bool;

    /// Returns the session's record: that of its present or last sandbox.
    ///
    /// # Errors
    /// A store that does not answer.
    async fn last(&self, key: &SessionKey) -> Result<Option<SessionRecord>, innkeep_store::Error>;

    /// Inserts a sandbox that waits for a session. The record of a session removes it.
    async fn pooled(&self, record: PoolMemberRecord);

    /// Removes a sandbox that ended without one.
    async fn unpooled(&self, sandbox: &SandboxId);
}

#[async_trait]
impl Journal for Store {
    async fn record(&self, record: SessionRecord) -> bool {
        let key = record.key.clone();
        let put = self.put_session(record).await;
        if let Err(error) = &put {
            tracing::error!(session.key = %key, error = error as &dyn std::error::Error, "session {key} could not be recorded");
        }
        put.is_ok()
    }

    async fn last(&self, key: &SessionKey) -> Result<Option<SessionRecord>, innkeep_store::Error> {
        self.get_session(key).await
    }

    async fn pooled(&self, record: PoolMemberRecord) {
        let id = record.sandbox.clone();
        if let Err(error) = self.put_pool_member(record).await {
            tracing::error!(sandbox.id = %id, error = &error as &dyn std::error::Error, "sandbox {id} could not be recorded");
        }
    }

    async fn unpooled(&self, sandbox: &SandboxId) {
        if let Err(error) = self.remove_pool_member(sandbox).await {
            tracing::error!(sandbox.id = %sandbox, error = &error as &dyn std::error::Error,
                "the record of sandbox {sandbox} could not be removed");
        }
    }
}
