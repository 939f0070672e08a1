//! Sessions that are started without a member: what they will use, and that members wait for them.

use std::time::Duration;

use innkeep_types::limits;

use super::{PoolKey, Pools};
use crate::deployment::Deployment;
use crate::headroom::Reservation;

/// A session is being started without a member: members wait for it meanwhile.
#[derive(Debug)]
pub(crate) struct ColdStart {
    pools: Pools,
    key: PoolKey,
    may_make_zygote: bool,
    /// What it will use; none once it is over.
    memory: Option<Reservation>,
}

impl Pools {
    /// Notes that a session is started without a member. `may_make_zygote`: see [`ColdStart::may_make_zygote`].
    pub(crate) fn cold_start(&self, deployment: &Deployment, may_make_zygote: bool) -> ColdStart {
        let bytes = self.expected_bytes(deployment);
        let memory = self.shared.headroom.reserve(if may_make_zygote { bytes.saturating_mul(2) } else { bytes });
        self.shared.state.lock().cold_starts += 1;
        ColdStart { pools: self.clone(), key: deployment.pool_key(), may_make_zygote, memory: Some(memory) }
    }

    /// Returns what a sandbox of the deployment is taken to need, bytes.
    pub(crate) fn expected_bytes(&self, deployment: &Deployment) -> u64 {
        let state = self.shared.state.lock();
        let measured = state.pools.get(&deployment.pool_key()).map(|pool| pool.member_bytes);
        measured.unwrap_or(limits::POOL_MEMBER_BYTES).min(deployment.resources.memory_bytes)
    }

    /// Returns what members that are being started are taken to need, bytes.
    pub(crate) fn starting_bytes(&self) -> u64 {
        self.shared.state.lock().starting_bytes()
    }
}

impl ColdStart {
    /// Notes that the session is ready, so long after it was asked for.
    pub(crate) fn ready(&mut self, took: Duration) {
        if let Some(pool) = self.pools.shared.state.lock().pools.get_mut(&self.key) {
            pool.demand.started(took);
        }
        self.over();
    }

    /// Tells whether there is room for an interpreter that its agent could be forked from, if there is none.
    pub(crate) fn may_make_zygote(&self) -> bool {
        self.may_make_zygote
    }

    fn over(&mut self) {
        if self.memory.take().is_some() {
            self.pools.shared.state.lock().cold_starts -= 1;
            self.pools.shared.changed.notify_one();
        }
    }
}

impl Drop for ColdStart {
    fn drop(&mut self) {
        self.over();
    }
}
