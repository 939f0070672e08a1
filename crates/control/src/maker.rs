//! The seam between the control plane and what runs agents.

use std::fmt;

use async_trait::async_trait;
use innkeep_store::VersionRecord;
use innkeep_types::{ArtifactDigest, EndpointArn, RuntimeArn, RuntimeVersion};

/// Makes versions ready to be invoked, and ends what runs of them.
#[async_trait]
pub trait Maker: fmt::Debug + Send + Sync + 'static {
    /// Makes the version's artifact ready on this host and boots it once; returns the bundle that it runs. Idempotent.
    async fn make(&self, version: &VersionRecord) -> Result<ArtifactDigest, MakeFailed>;

    /// Boots once, on this host, the bundle that the version, which is READY, runs. Idempotent.
    async fn check(&self, version: &VersionRecord) -> Result<(), MakeFailed>;

    /// Ends every sandbox of a runtime, or of one version of it, and returns when they are gone. Idempotent.
    async fn unmake(&self, runtime: &RuntimeArn, version: Option<RuntimeVersion>);

    /// Ends every sandbox of an endpoint and returns when they are gone. Idempotent.
    async fn unmake_endpoint(&self, endpoint: &EndpointArn);
}

/// Why a version was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeFailed {
    /// It cannot be made as it is.
    #[error("{reason}")]
    Failed {
        /// Why, for any caller.
        reason: String,
        /// The agent's last log lines, for operators.
        log: Vec<String>,
    },
    /// The server shuts down; the next one makes the version.
    #[error("the server is shutting down")]
    ShuttingDown,
}
