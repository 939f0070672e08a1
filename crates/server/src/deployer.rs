//! From a version as stored to what its sessions are started from.

use std::error::Error;
use std::sync::Arc;

use innkeep_artifacts::Artifacts;
use innkeep_protocol::agent_environment;
use innkeep_sandbox::Deployment;
use innkeep_store::VersionRecord;
use innkeep_types::{AccountId, Egress, EndpointName, Region, RuntimeArn, ServerProtocol};

/// Finds the bundles of versions.
#[derive(Debug, Clone)]
pub(crate) struct Deployer {
    pub(crate) artifacts: Artifacts,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// How far agents reach whose runtime does not say.
    pub(crate) egress: Egress,
    /// How callers reach this server: what settings say, else where it listens.
    pub(crate) url: String,
}

impl Deployer {
    /// Returns the deployment of a version that is READY. Reads the disk.
    pub(crate) fn deploy(
        &self,
        version: &VersionRecord,
        endpoint: EndpointName,
    ) -> Result<Deployment, Box<dyn Error + Send + Sync>> {
        let digest = version.bundle.as_ref().ok_or("a READY version has no bundle")?;
        let bundle = Arc::new(self.artifacts.bundle(digest)?);
        let arn = RuntimeArn::new(self.region.clone(), self.account.clone(), version.runtime.clone());
        let mut deployment = Deployment::new(arn, endpoint, version, bundle, self.egress);
        if deployment.protocol.server == ServerProtocol::A2a {
            let url = agent_environment::runtime_url(&self.url, &deployment.arn, &deployment.endpoint);
            deployment.environment.entry(agent_environment::RUNTIME_URL.to_owned()).or_insert(url);
        }
        Ok(deployment)
    }
}
