//! Which new sessions are let in. One that has a sandbox is never asked: a limit touches nothing that lives.

use std::time::Duration;

use innkeep_types::{RuntimeId, limits};
use tokio::time::Instant;

use crate::counts::Refusal;
use crate::registry::error::Error;
use crate::registry::{Registry, Sessions};

/// How many sessions this server takes. Existing ones are never touched by a limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sandboxes at one time; default [`limits::MAX_ACTIVE_SESSIONS`].
    pub active_sessions: usize,
    /// New sandboxes per second, four seconds' worth in a burst; default [`limits::MAX_STARTS_PER_SECOND`].
    pub starts_per_second: u32,
    /// Memory that new sandboxes leave free, bytes; 0 leaves none; default [`limits::MEMORY_FLOOR`].
    pub memory_floor: u64,
    /// What all sandboxes that wait for sessions may use together, bytes; default no limit.
    pub pool_memory_bytes: u64,
    /// Memory that they leave free, bytes; default none.
    pub pool_memory_floor: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active_sessions: limits::MAX_ACTIVE_SESSIONS,
            starts_per_second: limits::MAX_STARTS_PER_SECOND,
            memory_floor: limits::MEMORY_FLOOR,
            pool_memory_bytes: u64::MAX,
            pool_memory_floor: 0,
        }
    }
}

/// When to ask again after memory was short: nobody knows when a session ends. Source: our choice.
const MEMORY_WAIT: Duration = Duration::from_secs(5);

impl Registry {
    /// Tells whether there is too little memory for a new session. Looks at the host at times: not to be called under the lock.
    pub(super) fn is_memory_short(&self) -> bool {
        self.shared.headroom.is_short(|| self.shared.driver.available_memory())
    }

    /// Lets one more session of the runtime in, or says why not, and counts that.
    pub(super) fn admit(
        &self,
        sessions: &mut Sessions,
        runtime: &RuntimeId,
        is_memory_short: bool,
    ) -> Result<(), Error> {
        let n_sessions = sessions.by_key.len();
        let (why, error) = if n_sessions >= self.shared.limits.active_sessions {
            (Refusal::Sessions, Error::TooManySessions(n_sessions))
        } else if is_memory_short {
            (Refusal::Memory, Error::NoMemory { retry_after: MEMORY_WAIT })
        } else if let Err(retry_after) = sessions.start_rate.try_take(runtime, Instant::now()) {
            (Refusal::StartRate, Error::TooManyStarts { retry_after })
        } else {
            return Ok(());
        };
        self.shared.counters.refused(why);
        Err(error)
    }
}
