//! What the sessions of one (runtime version, endpoint) are started from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::Bundle;
use innkeep_protocol::agent_environment;
use innkeep_store::VersionRecord;
use innkeep_types::lifecycle::Rules;
use innkeep_types::{
    Egress, EndpointName, Lifecycle, Protocol, RuntimeArn, RuntimeName, RuntimeVersion, SandboxId, SessionId,
    SessionKey, Settings, UnixMillis, limits,
};

use crate::driver::LaunchSpec;

/// One version behind one endpoint, ready to start; shared by all of its sessions.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The runtime; holds id, region and account.
    pub arn: RuntimeArn,
    /// Its name.
    pub name: RuntimeName,
    /// The version to run.
    pub version: RuntimeVersion,
    /// Through which endpoint.
    pub endpoint: EndpointName,
    /// When sessions end.
    pub lifecycle: Lifecycle,
    /// Port and path of the agent.
    pub protocol: Protocol,
    /// Effective settings.
    pub settings: Settings,
    /// The agent's environment: the bundle's, under the contract's, under the version's own variables.
    pub environment: BTreeMap<String, String>,
    /// What to run.
    pub bundle: Arc<Bundle>,
}

impl Deployment {
    /// Returns the deployment of a version as stored. Later sources win: bundle, contract, the version's own variables.
    pub fn new(arn: RuntimeArn, endpoint: EndpointName, version: &VersionRecord, bundle: Arc<Bundle>) -> Self {
        let mut environment = bundle.environment.clone();
        environment.extend(agent_environment::contract(&arn, &version.name, &endpoint));
        environment.extend(version.config.environment.clone());
        Self {
            arn,
            name: version.name.clone(),
            version: version.version,
            endpoint,
            lifecycle: version.config.lifecycle,
            protocol: version.config.protocol.clone(),
            settings: version.settings.clone().or(&bundle.settings),
            environment,
            bundle,
        }
    }

    /// Returns the key of a session of this deployment.
    pub fn key(&self, session: &SessionId) -> SessionKey {
        SessionKey { runtime: self.arn.runtime.clone(), endpoint: self.endpoint.clone(), session: session.clone() }
    }

    /// Returns when its sessions end.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            idle_timeout: Duration::from_secs(self.lifecycle.idle_timeout_secs.into()),
            max_lifetime: Duration::from_secs(self.lifecycle.max_lifetime_secs.into()),
        }
    }

    /// Returns how long the agent may take to its first good health answer.
    pub(crate) fn start_timeout(&self) -> Duration {
        let chosen = self.settings.start_timeout_secs.map(|secs| Duration::from_secs(secs.into()));
        chosen.unwrap_or(limits::START_TIMEOUT).min(limits::MAX_START_TIMEOUT)
    }

    /// Returns one start of one sandbox.
    pub(crate) fn launch_spec(&self, sandbox: SandboxId, now: UnixMillis) -> LaunchSpec {
        LaunchSpec {
            sandbox,
            bundle: self.bundle.clone(),
            environment: self.environment.clone(),
            resources: self.settings.resources(),
            egress: self.settings.egress.unwrap_or(Egress::Public),
            port: self.protocol.port,
            health: self.settings.health.unwrap_or_default(),
            start_timeout: self.start_timeout(),
            ping_interval: limits::PING_INTERVAL,
            ends_at: now.plus(self.rules().max_lifetime),
        }
    }
}
