//! What endpoints serve: there are pools of that, and of nothing else.

use std::collections::HashSet;
use std::sync::Arc;

use innkeep_types::limits;
use tokio::time::{Instant, timeout};

use super::{Leave, Pool, PoolKey, Pools};
use crate::deployment::Deployment;
use crate::registry::error::Error;

impl Pools {
    /// Tells whether an endpoint serves this, as far as is known.
    pub(crate) fn is_served(&self, key: &PoolKey) -> bool {
        self.shared.served.borrow().as_ref().is_none_or(|served| served.contains(key))
    }

    /// Waits a moment for it to be known that an endpoint serves this; false if none does.
    async fn will_be_served(&self, key: &PoolKey) -> bool {
        let mut served = self.shared.served.subscribe();
        let known = served.wait_for(|served| served.as_ref().is_some_and(|served| served.contains(key)));
        matches!(timeout(limits::SERVED_SOON, known).await, Ok(Ok(_)))
    }

    /// Makes the pools those of what endpoints serve: ends the members of all others, and keeps some of `pooled`, which are those of
    /// `served` that have a pool. Returns what was served until now.
    pub(crate) fn serve(&self, served: &HashSet<PoolKey>, pooled: Vec<Arc<Deployment>>) -> HashSet<PoolKey> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return HashSet::new();
        }
        state.open = true;
        state.remove(|key| !served.contains(key), Leave::End(limits::STOP_GRACE));
        for deployment in pooled {
            state.pools.entry(deployment.pool_key()).or_insert_with(|| Pool::new(deployment));
        }
        // With the lock: no pool is made of what is served no more.
        let before = self.shared.served.send_replace(Some(served.clone()));
        drop(state);
        self.shared.changed.notify_one();
        before.unwrap_or_default()
    }

    /// Makes sure that `n` members will wait, whatever the pool's own size; those that are taken are not made again. Waits a moment for a
    /// version that is served only just now.
    ///
    /// # Errors
    /// [`Error::NoPool`], [`Error::NotServed`].
    pub(crate) async fn prewarm(&self, deployment: Arc<Deployment>, n: u32) -> Result<(), Error> {
        if let Some(bar) = deployment.pool_bar() {
            return Err(Error::NoPool(bar));
        }
        let key = deployment.pool_key();
        self.will_be_served(&key).await;
        let mut state = self.shared.state.lock();
        // Found before an endpoint moved away: nobody would end what is started now.
        if !self.is_served(&key) || !state.open {
            return Err(Error::NotServed(key));
        }
        if !state.closed {
            let pool = state.pools.entry(key).or_insert_with(|| Pool::new(deployment));
            pool.demand.asked(n, Instant::now());
            // Somebody looks, and may have mended what was amiss.
            pool.trouble.over();
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}
