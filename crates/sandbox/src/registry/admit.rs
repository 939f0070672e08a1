//! Which new sessions are let in. One that has a sandbox is never asked: a limit touches nothing that lives.

use std::sync::Arc;
use std::time::Duration;

use innkeep_types::{RuntimeId, SessionKey, limits};
use tokio::time::Instant;

use crate::counts::Refusal;
use crate::deployment::Deployment;
use crate::driver::ZygoteState;
use crate::registry::error::Error;
use crate::registry::{Registry, Sessions};
use crate::session::Session;

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

/// Which part of all sessions' places is kept from who has more than his share. Source: our choice, a tenth.
const LAST_PLACES: usize = 10;

/// What was seen of the host before the lock was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes; none where it is not known, or nobody cares.
    available: Option<u64>,
    /// What zygotes that are importing will use, bytes.
    importing: u64,
    /// Zygotes that live.
    n_zygotes: usize,
    /// Whether the version has one, or had, and has none now for a reason.
    knows_zygote: bool,
}

/// The memory that there is for one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryLeft {
    /// Less than the floor is left.
    Short,
    /// Less than two floors are left: what is above the first is kept from who has more than his share of sessions. Source: our choice.
    Last,
    Ample,
}

impl Registry {
    /// Looks at what there is for one more sandbox. Looks at the host at times: not to be called under the lock.
    pub(super) fn room_for(&self, deployment: &Deployment) -> Room {
        let available = self.shared.headroom.available(|| self.shared.driver.available_memory());
        let (zygotes, key) = (self.shared.driver.zygotes(), deployment.pool_key());
        let n_importing = zygotes.iter().filter(|zygote| zygote.state == ZygoteState::Starting).count();
        Room {
            available,
            importing: u64::try_from(n_importing).unwrap_or(u64::MAX).saturating_mul(limits::POOL_MEMBER_BYTES),
            n_zygotes: zygotes.iter().filter(|zygote| zygote.state.why().is_none()).count(),
            knows_zygote: zygotes.iter().any(|zygote| zygote.key == key && zygote.state.why().is_none()),
        }
    }

    /// Tells how much memory there is for a new session.
    pub(super) fn memory(&self, room: &Room) -> MemoryLeft {
        let (headroom, floor) = (&self.shared.headroom, self.shared.limits.memory_floor);
        let others = room.importing.saturating_add(self.shared.pools.starting_bytes());
        match room.available {
            available if headroom.is_short(available, others) => MemoryLeft::Short,
            available if !headroom.has_room(available, others, floor) => MemoryLeft::Last,
            _ => MemoryLeft::Ample,
        }
    }

    /// Tells whether a start may make a zygote besides: the version wants one and has none, endpoints serve it, and there is a place.
    pub(super) fn may_make_zygote(&self, room: &Room, n_sessions: usize, deployment: &Deployment) -> bool {
        let is_wanted = deployment.settings.zygote == Some(true) && !room.knows_zygote;
        is_wanted
            && self.shared.pools.is_served(&deployment.pool_key())
            && self.has_place_for_zygote(room, n_sessions, deployment)
    }

    /// Tells whether one more sandbox and a zygote stay within the limits of sessions: both are sandboxes.
    pub(super) fn has_place_for_zygote(&self, room: &Room, n_sessions: usize, deployment: &Deployment) -> bool {
        let others = room.importing.saturating_add(self.shared.pools.starting_bytes());
        let bytes = self.shared.pools.expected_bytes(deployment).saturating_mul(2);
        // The session that it is made for counts already.
        n_sessions + 1 + room.n_zygotes < self.shared.limits.active_sessions
            && self.shared.headroom.has_room(room.available, others, bytes)
    }

    /// Lets one more session of the runtime in, or says why not, and counts that.
    pub(super) fn admit(&self, sessions: &mut Sessions, runtime: &RuntimeId, memory: MemoryLeft) -> Result<(), Error> {
        let n_sessions = sessions.by_key.len();
        let limit = self.shared.limits.active_sessions;
        let are_last = n_sessions >= limit - limit / LAST_PLACES;
        let (why, error) = if n_sessions >= limit {
            (Refusal::Sessions, Error::TooManySessions(n_sessions))
        } else if let Some(held) = sessions.beyond_share(runtime, limit).filter(|_| are_last) {
            (Refusal::Sessions, Error::TooManyOfRuntime { held, all: n_sessions })
        } else if memory == MemoryLeft::Short {
            (Refusal::Memory, Error::NoMemory { retry_after: MEMORY_WAIT })
        } else if let Some(held) = sessions.beyond_share(runtime, n_sessions).filter(|_| memory == MemoryLeft::Last) {
            (Refusal::Memory, Error::LastMemory { held, all: n_sessions, retry_after: MEMORY_WAIT })
        } else if let Err(retry_after) = sessions.start_rate.try_take(runtime, Instant::now()) {
            (Refusal::StartRate, Error::TooManyStarts { retry_after })
        } else {
            return Ok(());
        };
        self.shared.counters.refused(why);
        Err(error)
    }
}

impl Sessions {
    /// Returns how many sessions the runtime has, if that is more than its equal share of `all`, and it is not alone.
    fn beyond_share(&self, runtime: &RuntimeId, all: usize) -> Option<usize> {
        let (held, n_runtimes) = (*self.by_runtime.get(runtime)?, self.by_runtime.len());
        (n_runtimes > 1 && held > all / n_runtimes).then_some(held)
    }

    /// Adds one whose key nobody has.
    pub(super) fn insert(&mut self, session: Arc<Session>) {
        *self.by_runtime.entry(session.key.runtime.clone()).or_default() += 1;
        self.by_key.insert(session.key.clone(), session);
    }

    /// Removes one that is there.
    pub(super) fn remove(&mut self, key: &SessionKey) {
        self.by_key.remove(key);
        self.n_ended += 1;
        if let Some(n_sessions) = self.by_runtime.get_mut(&key.runtime) {
            *n_sessions -= 1;
            if *n_sessions == 0 {
                self.by_runtime.remove(&key.runtime);
            }
        }
    }
}
