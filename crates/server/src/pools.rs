//! Tells the registry what endpoints serve, at the start and after every change: sandboxes wait for sessions of that, and of nothing
//! else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::{Deployment, PoolKey, Registry};
use innkeep_store::{Store, VersionRecord};
use innkeep_types::EndpointName;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::deployer::Deployer;

/// The least time between two looks: a deployment is several changes. Source: our choice.
const PAUSE: Duration = Duration::from_millis(100);

/// After how long it is looked again where something could not be had, such as a bundle that is being fetched. Source: our choice.
const RETRY: Duration = Duration::from_secs(30);

/// Follows what endpoints serve.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) store: Store,
    pub(crate) deployer: Deployer,
    pub(crate) registry: Registry,
    /// What was made startable before; a version does not change. None: it has no pool.
    pub(crate) known: HashMap<PoolKey, Option<Arc<Deployment>>>,
}

impl Served {
    /// Runs until the server ends.
    pub(crate) async fn follow(mut self, stopping: CancellationToken) {
        let mut generations = self.store.generations();
        loop {
            // First: what changes meanwhile is seen the next time.
            generations.borrow_and_update();
            let is_complete = self.look().await.unwrap_or_else(|error| {
                warn!(error = &error as &dyn std::error::Error, "what endpoints serve could not be listed");
                false
            });
            let next = async {
                sleep(PAUSE).await;
                let changed = generations.changed();
                // It fails with the writer, which ends with the server.
                match is_complete {
                    true => changed.await.is_ok(),
                    false => timeout(RETRY, changed).await.unwrap_or(Ok(())).is_ok(),
                }
            };
            tokio::select! {
                goes_on = next => if !goes_on { return },
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Tells the registry what is served now; false if a part of it could not be made startable.
    async fn look(&mut self) -> Result<bool, innkeep_store::Error> {
        let (mut served, mut is_complete) = (HashSet::new(), true);
        for runtime in self.store.list_runtimes(None, u32::MAX).await? {
            for endpoint in self.store.list_endpoints(&runtime.runtime).await? {
                for share in self.store.resolve(&endpoint.runtime, &endpoint.name).await? {
                    let (runtime, version) = (endpoint.runtime.clone(), share.version.version);
                    let key = PoolKey { runtime, endpoint: endpoint.name.clone(), version };
                    if !self.known.contains_key(&key) {
                        is_complete &= self.learn(key.clone(), share.version).await;
                    }
                    served.insert(key);
                }
            }
        }
        self.known.retain(|key, _| served.contains(key));
        self.registry.serve(&served, self.known.values().flatten().cloned().collect());
        Ok(is_complete)
    }

    async fn learn(&mut self, key: PoolKey, version: VersionRecord) -> bool {
        let deployed = deploy(&self.deployer, version, key.endpoint.clone()).await;
        let is_there = deployed.is_some();
        if let Some(deployment) = deployed {
            let has_pool = deployment.settings.pool.is_some();
            self.known.insert(key, has_pool.then_some(deployment));
        }
        is_there
    }
}

/// Returns the deployment; none if its bundle is not here: requests for it say why.
pub(crate) async fn deploy(
    deployer: &Deployer,
    version: VersionRecord,
    endpoint: EndpointName,
) -> Option<Arc<Deployment>> {
    let deployer = deployer.clone();
    let deployed = spawn_blocking(move || deployer.deploy(&version, endpoint).map(Arc::new).ok());
    deployed.await.ok().flatten()
}
