//! Connections that no request uses, newest on top.
//!
//! An agent that closes a connection it was just used on, without saying so, does not keep connections: between its close and our
//! next look lies a moment in which a request would be lost. So none is used again before one of the sandbox's connections has
//! been seen open [`PROBATION`] after its use; and after [`MAX_EARLY_CLOSES`] early ends none is kept.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::{KEEP_CONNECTIONS, KEEP_IDLE};

/// How long after its use a connection must be seen open once, before any of the agent's is used again. Source: our choice; agents
/// that close at once do so within a millisecond, on a busy machine within a few.
pub(super) const PROBATION: Duration = Duration::from_millis(20);

/// How many connections an agent may close early (a worker that is replaced does) before none is kept. Source: our choice.
pub(super) const MAX_EARLY_CLOSES: u32 = 3;

/// Handle to the kept connections of one sandbox; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    idle: Mutex<Idle>,
    /// Owns the one task that closes what was kept too long; it ends by itself when nothing is kept.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Idle {
    /// Oldest first.
    kept: Vec<Kept>,
    reaping: bool,
    closed: bool,
    /// The agent was seen to keep a connection open.
    keeps: bool,
    /// Connections that the agent closed within [`KEEP_IDLE`] of their use.
    n_early_closes: u32,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Returns the connection used last, if it may be used again.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.pop()?;
            if connection.was_closed() {
                self.closed_early();
            } else if connection.is_usable().await {
                self.shared.idle.lock().keeps = true;
                return Some(connection);
            }
        }
    }

    fn closed_early(&self) {
        let mut idle = self.shared.idle.lock();
        idle.n_early_closes += 1;
        if idle.n_early_closes >= MAX_EARLY_CLOSES {
            drop(idle);
            self.close();
        }
    }

    /// Returns the newest connection; before the agent is known to keep them, the oldest, if that is old enough to tell.
    fn pop(&self) -> Option<Connection> {
        let mut idle = self.shared.idle.lock();
        let kept = if idle.keeps {
            idle.kept.pop()?
        } else {
            let old_enough = idle.kept.first().is_some_and(|kept| kept.since.elapsed() >= PROBATION);
            old_enough.then(|| idle.kept.remove(0))?
        };
        (kept.since.elapsed() < KEEP_IDLE).then_some(kept.connection)
    }

    /// Keeps a connection whose answer was read to the end; closes it if there are enough, or the pool is closed.
    pub(super) fn put(&self, connection: Connection) {
        // Bodies are also dropped while a runtime shuts down.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut idle = self.shared.idle.lock();
        if idle.closed || idle.kept.len() >= KEEP_CONNECTIONS {
            drop(idle);
            return;
        }
        idle.kept.push(Kept { connection, since: Instant::now() });
        if !idle.reaping {
            idle.reaping = true;
            self.shared.tasks.spawn_on(reap(Arc::downgrade(&self.shared)), &runtime);
        }
    }

    /// Closes all kept connections.
    pub(super) fn clear(&self) {
        let closed = std::mem::take(&mut self.shared.idle.lock().kept);
        drop(closed);
    }

    /// Closes all kept connections and keeps no more.
    pub(super) fn close(&self) {
        self.shared.idle.lock().closed = true;
        self.clear();
    }

    /// As if the agent had been seen to keep a connection.
    #[cfg(test)]
    pub(super) fn trust(&self) {
        self.shared.idle.lock().keeps = true;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shared.idle.lock().kept.len()
    }
}

/// Closes connections as they grow too old, until none is kept.
async fn reap(pool: Weak<Shared>) {
    loop {
        let oldest = {
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.idle.lock();
            let Some(oldest) = idle.kept.first() else {
                idle.reaping = false;
                return;
            };
            oldest.since
        };
        tokio::time::sleep_until(oldest + KEEP_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let expired: Vec<Kept> = {
            let mut idle = pool.idle.lock();
            let n_expired = idle.kept.partition_point(|kept| kept.since.elapsed() >= KEEP_IDLE);
            idle.kept.drain(..n_expired).collect()
        };
        drop(expired);
    }
}
