//! The pools as the rest of the server reaches them.

use std::collections::HashSet;
use std::sync::Arc;

use innkeep_types::{SessionId, UnixMillis};
use tokio::time::Instant;

use crate::counts::ZygoteCounts;
use crate::deployment::Deployment;
use crate::driver::{Sandbox, ZygoteInfo};
use crate::pool::{PoolCounts, PoolInfo, PoolKey};
use crate::registry::error::Error;
use crate::registry::{Asked, Registry};

impl Registry {
    /// Says what endpoints serve now: `served`, of which `pooled` have the setting `pool`. Sandboxes of other versions do not wait for
    /// sessions any more.
    pub fn serve(&self, served: &HashSet<PoolKey>, mut pooled: Vec<Arc<Deployment>>) {
        // What was found before it was deleted.
        pooled.retain(|deployment| !self.shared.sessions.lock().deleted.contains(&deployment.arn.runtime));
        let before = self.shared.pools.serve(served, pooled);
        self.shared.driver.forget(&|key| before.contains(key) && !served.contains(key));
    }

    /// Lets a sandbox wait for a session again that waited under a server before this one; `made_of`: what that one made it of.
    /// False if it cannot; the caller then ends it.
    pub fn adopt_pooled(
        &self,
        deployment: Arc<Deployment>,
        sandbox: Arc<dyn Sandbox>,
        started_at: UnixMillis,
        made_of: &str,
    ) -> bool {
        self.check_tier(&deployment).is_ok() && self.shared.pools.adopt(deployment, sandbox, (started_at, made_of))
    }

    /// Starts the session without a request, and returns before it is ready; nothing, if it has a sandbox. It idles out as any session.
    ///
    /// # Errors
    /// Those that [`Registry::acquire`] has before a start.
    pub fn prewarm_session(&self, session: &SessionId, deployment: &Arc<Deployment>) -> Result<(), Error> {
        if deployment.keeps_owners() {
            let why = "a session belongs to whoever starts it (session_owner); prewarm sandboxes, without a session id";
            return Err(Error::NoPool(why));
        }
        let asked = Asked { asker: None, at: Instant::now(), is_admitted: false, looked_up: None };
        self.find_or_start(&deployment.key(session), deployment, asked).map(drop)
    }

    /// Makes sure that `n` sandboxes will wait for sessions; returns before they do.
    ///
    /// # Errors
    /// [`Error::TierTooWeak`], [`Error::Deleted`], [`Error::NoPool`], [`Error::NotServed`].
    ///
    /// # Cancel safety
    /// Safe: it waits for news of what is served, and changes something only afterwards.
    pub async fn prewarm(&self, deployment: &Arc<Deployment>, n: u32) -> Result<(), Error> {
        self.check_tier(deployment)?;
        let runtime = &deployment.arn.runtime;
        if self.shared.sessions.lock().deleted.contains(runtime) {
            return Err(Error::Deleted(runtime.clone()));
        }
        self.shared.pools.prewarm(deployment.clone(), n).await
    }

    /// Returns the interpreters that agents are forked from, and why there are none, by key.
    pub fn zygotes(&self) -> Vec<ZygoteInfo> {
        self.shared.driver.zygotes()
    }

    /// Returns what has happened to them so far. Blocks shortly.
    pub fn zygote_counts(&self) -> ZygoteCounts {
        self.shared.driver.zygote_counts()
    }

    /// Returns the pools.
    pub fn pools(&self) -> Vec<PoolInfo> {
        self.shared.pools.list()
    }

    /// Returns what has happened to them so far.
    pub fn pool_counts(&self) -> PoolCounts {
        self.shared.pools.counts()
    }
}
