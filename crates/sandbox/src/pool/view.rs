//! What can be seen of the pools from outside.

use std::time::Duration;

use innkeep_types::{PoolSize, SandboxId, UnixMillis};
use tokio::time::Instant;

use super::{Pool, PoolKey, Pools};

/// What has happened to all pools since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// New sessions that took a member.
    pub hits: u64,
    /// New sessions of a version with a pool that found none.
    pub misses: u64,
    /// Members that ended without a session.
    pub wasted: u64,
    /// Members that became ready.
    pub refills: u64,
    /// The time that they took together, from the decision to start one to the moment when it waits.
    pub refill_time: Duration,
}

/// One pool as operators see it.
#[derive(Debug, Clone)]
pub struct PoolInfo {
    /// Which.
    pub key: PoolKey,
    /// The deployer's setting; none: members were asked for by hand.
    pub size: Option<PoolSize>,
    /// How many are to wait now.
    pub wanted: usize,
    /// Those that wait, oldest first.
    pub ready: Vec<PoolMember>,
    /// Those that are being started.
    pub starting: usize,
    /// New sessions that took a member.
    pub hits: u64,
    /// New sessions that found none.
    pub misses: u64,
    /// Members that ended without a session.
    pub wasted: u64,
    /// How long the last start took.
    pub last_refill: Option<Duration>,
    /// When a member failed last, and how: whole sentences.
    pub last_failure: Option<(UnixMillis, String)>,
    /// Why none are started, or wanted.
    pub held: Option<String>,
}

/// One sandbox that waits for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolMember {
    /// Which.
    pub sandbox: SandboxId,
    /// When it was started.
    pub started_at: UnixMillis,
    /// Its agent's process on the host, if it has one there.
    pub agent_pid: Option<i32>,
    /// What it uses, bytes, as it was last looked at.
    pub memory_bytes: Option<u64>,
}

impl Pools {
    /// Returns all pools, by key.
    pub(crate) fn list(&self) -> Vec<PoolInfo> {
        let now = Instant::now();
        self.shared.state.lock().pools.iter().map(|(key, pool)| pool.info(key, now)).collect()
    }

    /// Returns what has happened so far.
    pub(crate) fn counts(&self) -> PoolCounts {
        self.shared.state.lock().totals
    }
}

impl Pool {
    fn info(&self, key: &PoolKey, now: Instant) -> PoolInfo {
        let members = self.ready.iter().map(|member| PoolMember {
            sandbox: member.sandbox.id().clone(),
            started_at: member.started_at,
            agent_pid: member.sandbox.agent_pid(),
            memory_bytes: member.bytes,
        });
        PoolInfo {
            key: key.clone(),
            size: self.deployment.settings.pool,
            wanted: self.wanted(now),
            ready: members.collect(),
            starting: self.starting(),
            hits: self.hits,
            misses: self.misses,
            wasted: self.wasted,
            last_refill: self.last_refill,
            last_failure: self.trouble.last(),
            held: self.held.clone(),
        }
    }
}
