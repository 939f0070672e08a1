//! The [`Maker`] of a server: bundles from its artifact store, sandboxes from its registry.

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;
use innkeep_artifacts::{Artifacts, Bundle};
use innkeep_sandbox::tasks::Tasks;
use innkeep_sandbox::{Deployment, Registry};
use innkeep_store::VersionRecord;
use innkeep_types::{
    AccountId, ArtifactDigest, Egress, EndpointArn, EndpointName, ErrorKind, Region, RuntimeArn, RuntimeVersion,
    StopReason,
};

use crate::maker::{MakeFailed, Maker};

/// Makes versions on this host.
#[derive(Debug, Clone)]
pub struct LocalMaker {
    /// Where code comes from.
    pub artifacts: Artifacts,
    /// Where it is booted.
    pub registry: Registry,
    /// The region in ARNs.
    pub region: Region,
    /// The account in ARNs.
    pub account: AccountId,
    /// How far agents reach whose runtime does not say.
    pub egress: Egress,
    /// Says when to give up what takes long.
    pub tasks: Tasks,
}

#[async_trait]
impl Maker for LocalMaker {
    async fn make(&self, version: &VersionRecord) -> Result<ArtifactDigest, MakeFailed> {
        if let Some(digest) = &version.bundle {
            // A copy of a version before it, which runs the very same.
            return self.check(version).await.map(|()| digest.clone());
        }
        let prepared = tokio::select! {
            prepared = self.artifacts.prepare(&version.config.artifact) => prepared,
            () = self.tasks.stopping().cancelled() => return Err(MakeFailed::ShuttingDown),
        };
        let bundle = prepared.map_err(|error| failed(version, &error, error.kind()))?;
        let digest = bundle.digest.clone();
        self.boot(version, bundle).await?;
        Ok(digest)
    }

    async fn check(&self, version: &VersionRecord) -> Result<(), MakeFailed> {
        let absent = |reason: &str| MakeFailed::Failed { reason: reason.to_owned(), log: Vec::new() };
        let digest = version.bundle.as_ref().ok_or_else(|| absent("the version has no bundle: deploy it anew"))?;
        // Never as a new version is made: what its tag or object names by now is not what would serve.
        let bundle = match self.artifacts.bundle(digest) {
            Ok(bundle) => bundle,
            Err(_) => {
                let restored = tokio::select! {
                    restored = self.artifacts.restore(&version.config.artifact, digest) => restored,
                    () = self.tasks.stopping().cancelled() => return Err(MakeFailed::ShuttingDown),
                };
                restored.map_err(|error| failed(version, &error, error.kind()))?
            }
        };
        if bundle.digest != *digest {
            return Err(absent("what the version was made of cannot be had any more: deploy it anew"));
        }
        self.boot(version, bundle).await
    }

    async fn unmake(&self, runtime: &RuntimeArn, version: Option<RuntimeVersion>) {
        let reason = if version.is_some() { StopReason::VersionDeleted } else { StopReason::RuntimeDeleted };
        self.registry.stop_runtime(runtime, version, reason).await;
    }

    async fn unmake_endpoint(&self, endpoint: &EndpointArn) {
        self.registry.stop_endpoint(endpoint, StopReason::EndpointDeleted).await;
    }
}

impl LocalMaker {
    async fn boot(&self, version: &VersionRecord, bundle: Bundle) -> Result<(), MakeFailed> {
        let arn = RuntimeArn::new(self.region.clone(), self.account.clone(), version.runtime.clone());
        let deployment = Deployment::new(arn, EndpointName::default_endpoint(), version, Arc::new(bundle), self.egress);
        match self.registry.boot_once(&deployment).await {
            Ok(()) => Ok(()),
            Err(innkeep_sandbox::Error::ShuttingDown) => Err(MakeFailed::ShuttingDown),
            Err(innkeep_sandbox::Error::StartFailed { message, log_tail, .. }) => {
                Err(MakeFailed::Failed { reason: message, log: log_tail })
            }
            // Nobody's defect, and what to do about it is the deployer's to know.
            Err(error @ (innkeep_sandbox::Error::TierTooWeak { .. } | innkeep_sandbox::Error::HostLacks { .. })) => {
                Err(MakeFailed::Failed { reason: error.to_string(), log: Vec::new() })
            }
            Err(error) => Err(failed(version, &error, error.kind())),
        }
    }
}

/// A caller is told the whole chain of causes of what he can mend; of a defect of ours only that it is one.
fn failed(version: &VersionRecord, error: &(dyn StdError + 'static), kind: ErrorKind) -> MakeFailed {
    let reason = match kind {
        ErrorKind::Internal | ErrorKind::Unavailable => {
            let VersionRecord { runtime, version, .. } = version;
            tracing::error!(runtime.id = %runtime, error, "version {version} of runtime {runtime} could not be made");
            "Innkeep could not make this version; the server's log has the cause".to_owned()
        }
        _ => chain(error),
    };
    MakeFailed::Failed { reason, log: Vec::new() }
}

fn chain(error: &dyn StdError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
