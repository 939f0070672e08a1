//! What the sessions of one (runtime version, endpoint) are started from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use innkeep_artifacts::Bundle;
use innkeep_protocol::agent_environment;
use innkeep_store::VersionRecord;
use innkeep_types::lifecycle::Rules;
use innkeep_types::{
    Authorizer, Egress, EndpointName, Lifecycle, Protocol, Resources, RuntimeArn, RuntimeName, RuntimeVersion,
    SandboxId, SessionId, SessionKey, Settings, UnixMillis, Warmup, limits,
};
use serde_json::Value;

use crate::driver::{LaunchSpec, ZygoteSpec};
use crate::made_of;

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
    /// How its callers prove who they are.
    pub authorizer: Authorizer,
    /// The rules for tokens, as they were written; none where signatures are asked for.
    pub custom_jwt_authorizer: Option<Arc<Value>>,
    /// What of its callers' headers the agent sees besides.
    pub request_headers: Vec<HeaderName>,
    /// What the agent is asked while the version is made.
    pub warmup: Option<Warmup>,
    /// How long the agent may take to its first good health answer.
    pub start_timeout: Duration,
    /// Effective settings.
    pub settings: Settings,
    /// The agent's environment: the bundle's, under the contract's, under the version's own variables.
    pub environment: BTreeMap<String, String>,
    /// What a sandbox may use.
    pub resources: Resources,
    /// How far its agents reach.
    pub egress: Egress,
    /// Whether its sessions have file systems of their own.
    pub session_storage: bool,
    /// What to run.
    pub bundle: Arc<Bundle>,
}

impl Deployment {
    /// Returns the deployment of a version as stored. Later sources win: bundle, contract, the version's own variables. `egress` is
    /// for versions that do not say.
    pub fn new(
        arn: RuntimeArn,
        endpoint: EndpointName,
        version: &VersionRecord,
        bundle: Arc<Bundle>,
        egress: Egress,
    ) -> Self {
        let mut environment = bundle.environment.clone();
        environment.extend(agent_environment::contract(&arn, &version.name, &endpoint));
        environment.extend(version.config.environment.clone());
        let settings = version.settings.clone().or(&bundle.settings);
        Self {
            arn,
            name: version.name.clone(),
            version: version.version,
            endpoint,
            lifecycle: version.config.lifecycle,
            protocol: version.config.protocol.clone(),
            authorizer: version.config.authorizer(),
            custom_jwt_authorizer: version.config.custom_jwt_authorizer().cloned().map(Arc::new),
            // Names that were checked are names.
            request_headers: version.config.request_headers.iter().filter_map(|name| name.parse().ok()).collect(),
            warmup: version.config.warmup.clone(),
            start_timeout: start_timeout(&settings, version.config.start_timeout()),
            resources: resources(&settings, version.config.minimum_memory_mib),
            egress: settings.egress.unwrap_or(egress),
            settings,
            environment,
            session_storage: version.config.has_session_storage(),
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

    /// Returns one start of one sandbox. `may_make_zygote`: whether there is room for one.
    pub(crate) fn launch_spec(&self, sandbox: SandboxId, now: UnixMillis, may_make_zygote: bool) -> LaunchSpec {
        LaunchSpec {
            sandbox,
            bundle: self.bundle.clone(),
            environment: self.environment.clone(),
            resources: self.resources,
            egress: self.egress,
            port: self.protocol.port,
            health: self.settings.health.unwrap_or_else(|| self.protocol.server.health()),
            start_timeout: self.start_timeout,
            ping_interval: limits::PING_INTERVAL,
            ends_at: now.plus(self.rules().max_lifetime),
            zygote: self.zygote(may_make_zygote),
        }
    }

    /// Returns whose interpreter its sandboxes may be forked from.
    fn zygote(&self, may_start: bool) -> Option<ZygoteSpec> {
        self.settings.zygote.unwrap_or(false).then(|| ZygoteSpec {
            key: self.pool_key(),
            modules: self.settings.zygote_modules.clone().unwrap_or_default(),
            may_start,
        })
    }

    /// Returns the digest of what its sandboxes are made of by a driver whose own is `driver`. Without variables, of which some are
    /// secret: those are the version's, which does not change, or follow from what is in it.
    pub(crate) fn made_of(&self, driver: &str) -> String {
        let Self { bundle, resources, egress, protocol, settings, start_timeout, .. } = self;
        let own = format!("{:?}", (&bundle.argv, resources, egress, protocol, settings, start_timeout));
        made_of::digest(&[driver.as_bytes(), bundle.digest.as_str().as_bytes(), own.as_bytes()])
    }
}

fn start_timeout(settings: &Settings, default: Duration) -> Duration {
    let chosen = settings.start_timeout_secs.map(|secs| Duration::from_secs(secs.into()));
    chosen.unwrap_or(default).min(limits::MAX_START_TIMEOUT)
}

/// A minimum raises what settings or defaults give; it never lowers it.
fn resources(settings: &Settings, minimum_memory_mib: Option<u32>) -> Resources {
    let given = settings.resources();
    let minimum_bytes = minimum_memory_mib.map_or(0, |mib| u64::from(mib) << 20);
    Resources { memory_bytes: given.memory_bytes.max(minimum_bytes), ..given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_start_timeout_is_above_any_default() {
        let secs = |chosen, default| {
            let settings = Settings { start_timeout_secs: chosen, ..Settings::default() };
            start_timeout(&settings, Duration::from_secs(default)).as_secs()
        };
        assert_eq!([secs(None, 30), secs(None, 120), secs(Some(5), 120), secs(Some(300), 30)], [30, 120, 5, 300]);
        assert_eq!(secs(Some(u32::MAX), 30), limits::MAX_START_TIMEOUT.as_secs());
    }

    #[test]
    fn the_minimum_of_memory_raises_and_never_lowers() {
        let memory = |memory_mib, minimum| {
            let settings = Settings { memory_mib, ..Settings::default() };
            resources(&settings, minimum).memory_bytes >> 20
        };
        let default = limits::SESSION_MEMORY_BYTES >> 20;
        assert_eq!(
            [memory(None, None), memory(None, Some(512)), memory(None, Some(16_384))],
            [default, default, 16_384]
        );
        assert_eq!(
            [memory(Some(256), None), memory(Some(256), Some(512)), memory(Some(1024), Some(512))],
            [256, 512, 1024]
        );
    }
}
