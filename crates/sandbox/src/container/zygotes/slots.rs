//! Which version has a zygote, and which has none, and why. Pure but for the tokens that it cancels; `now` is handed in.
//!
//! ```text
//! (none) ── claimed ──► Starting ── imported ──► Ready ── 15 minutes without a fork ──► (none)
//!              ▲           └── refused, failed ──┤ └── a fork failed, or another version needs the place ──┐
//!              └──────────── later ────────── Resting, with the reason ◄───────────────────────────────────┘
//! ```
//!
//! Every change of one names the zygote that it is about: by the time that one is heard of, another may be in its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use innkeep_types::{SandboxId, limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Zygote;
use crate::counts::{ZygoteCounts, ZygoteRefusal};
use crate::driver::{ZygoteInfo, ZygoteState};
use crate::pool::PoolKey;

/// How long a version rests whose zygote failed for the first time; it doubles each time. Source: our choice.
const FIRST_REST: Duration = Duration::from_secs(2);

/// The longest rest, and that of one whose imports are no good. Source: our choice.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

/// All of them, by version behind an endpoint.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_key: BTreeMap<PoolKey, Slot>,
    /// Without the memory.
    counts: ZygoteCounts,
}

#[derive(Debug)]
enum Slot {
    /// One that lives: it imports, or forks.
    Taken(Taken),
    /// None: for as long as the version is served.
    Resting { until: Option<Instant>, failures: u32, why: String },
}

#[derive(Debug)]
struct Taken {
    id: SandboxId,
    retire: CancellationToken,
    failures: u32,
    forks: u64,
    used: Instant,
    /// None while it imports.
    zygote: Option<Arc<Zygote>>,
}

impl Slots {
    /// Tells whether a zygote called `id` is to be started for this; who is told so starts it, and ends it when the token is cancelled.
    /// Where there are as many as there may be, one that was not used lately ends for it, and if there is none, agents start without.
    pub(super) fn claim(&mut self, key: &PoolKey, id: &SandboxId, now: Instant) -> Option<CancellationToken> {
        let failures = match self.by_key.get(key) {
            None => 0,
            Some(Slot::Resting { until: Some(until), failures, .. }) if *until <= now => *failures,
            Some(_) => return None,
        };
        if let Err(why) = self.make_room(now) {
            self.rest(key, failures, Some(now + FIRST_REST), why);
            self.refused(ZygoteRefusal::Places);
            return None;
        }
        self.counts.restarts += u64::from(failures > 0);
        let retire = CancellationToken::new();
        let taken = Taken { id: id.clone(), retire: retire.clone(), failures, forks: 0, used: now, zygote: None };
        self.by_key.insert(key.clone(), Slot::Taken(taken));
        Some(retire)
    }

    /// Ends the one that forked the longest ago, if there is no place for another.
    fn make_room(&mut self, now: Instant) -> Result<(), String> {
        let taken = |(key, slot): (&PoolKey, &Slot)| match slot {
            Slot::Taken(taken) => Some((taken.zygote.is_some(), taken.used, key.clone())),
            Slot::Resting { .. } => None,
        };
        let mut all: Vec<_> = self.by_key.iter().filter_map(taken).collect();
        let most = limits::MAX_ZYGOTES;
        if all.len() < most {
            return Ok(());
        }
        all.retain(|(is_ready, used, _)| *is_ready && now.duration_since(*used) >= limits::ZYGOTE_KEPT);
        let why = || format!("{most} zygotes of other versions are in use, and there are no more at one time");
        let (_, _, oldest) = all.into_iter().min_by_key(|(_, used, _)| *used).ok_or_else(why)?;
        let until = Some(now + limits::ZYGOTE_EVICTED);
        self.end(&oldest, until, "its zygote was not in use, and another version's has its place".to_owned());
        Ok(())
    }

    /// Returns the zygote that may be forked now.
    pub(super) fn ready(&mut self, key: &PoolKey, now: Instant) -> Option<Arc<Zygote>> {
        let Slot::Taken(taken) = self.by_key.get_mut(key)? else { return None };
        let zygote = taken.zygote.clone()?;
        taken.used = now;
        Some(zygote)
    }

    /// Offers one that has imported; false if nobody wants it any more.
    pub(super) fn offer(&mut self, key: &PoolKey, zygote: Arc<Zygote>, now: Instant) -> bool {
        let Some(taken) = self.taken(key, &zygote.id) else { return false };
        (taken.zygote, taken.used) = (Some(zygote), now);
        true
    }

    /// Notes a fork that went well.
    pub(super) fn forked(&mut self, key: &PoolKey, id: &SandboxId) {
        self.counts.forks += 1;
        if let Some(taken) = self.taken(key, id) {
            taken.failures = 0;
            taken.forks += 1;
        }
    }

    /// Returns when one that has not forked since would retire; none if it is not in use any more.
    pub(super) fn idle_at(&mut self, key: &PoolKey, id: &SandboxId) -> Option<Instant> {
        let taken = self.taken(key, id)?;
        taken.zygote.as_ref().map(|_| taken.used + limits::ZYGOTE_IDLE)
    }

    /// Lets a version rest that cannot have one; tells whether that is news.
    pub(super) fn never(&mut self, key: &PoolKey, why: &str) -> bool {
        let is_known = self.by_key.contains_key(key);
        self.rest(key, 0, None, why.to_owned());
        self.refused(ZygoteRefusal::Program);
        !is_known
    }

    /// Notes that one never forked, or not as it should: it ends, if it has not, and its version rests.
    pub(super) fn failed(
        &mut self,
        key: &PoolKey,
        id: &SandboxId,
        class: ZygoteRefusal,
        why: &str,
        now: Instant,
    ) -> bool {
        let Some(taken) = self.taken(key, id) else { return false };
        taken.failures = taken.failures.saturating_add(1);
        // Imports that are no good are not mended by more tries.
        let rest = if class == ZygoteRefusal::Imports { LONGEST_REST } else { rest(taken.failures) };
        self.refused(class);
        self.end(key, Some(now + rest), why.to_owned());
        true
    }

    /// Notes that one ended in good order.
    pub(super) fn retired(&mut self, key: &PoolKey, id: &SandboxId) {
        if self.taken(key, id).is_some() {
            self.by_key.remove(key);
        }
    }

    /// Ends and forgets those of versions that are no more.
    pub(super) fn forget(&mut self, is_over: &dyn Fn(&PoolKey) -> bool) {
        self.by_key.retain(|key, slot| {
            let is_kept = !is_over(key);
            if let (false, Slot::Taken(taken)) = (is_kept, slot) {
                taken.retire.cancel();
            }
            is_kept
        });
    }

    /// Returns what there is.
    pub(super) fn list(&self) -> Vec<ZygoteInfo> {
        let info = |(key, slot): (&PoolKey, &Slot)| {
            let (state, forks) = match slot {
                Slot::Taken(Taken { zygote: None, forks, .. }) => (ZygoteState::Starting, *forks),
                Slot::Taken(Taken { forks, .. }) => (ZygoteState::Ready, *forks),
                Slot::Resting { until: Some(_), why, .. } => (ZygoteState::Resting(why.clone()), 0),
                Slot::Resting { until: None, why, .. } => (ZygoteState::Unfit(why.clone()), 0),
            };
            ZygoteInfo { key: key.clone(), state, forks }
        };
        self.by_key.iter().map(info).collect()
    }

    /// Returns what has happened so far, without what memory is used.
    pub(super) fn counts(&self) -> &ZygoteCounts {
        &self.counts
    }

    /// Returns those that import or fork.
    pub(super) fn living(&self) -> Vec<SandboxId> {
        let id = |slot: &Slot| match slot {
            Slot::Taken(taken) => Some(taken.id.clone()),
            Slot::Resting { .. } => None,
        };
        self.by_key.values().filter_map(id).collect()
    }

    fn refused(&mut self, class: ZygoteRefusal) {
        *self.counts.refusals.entry(class).or_default() += 1;
    }

    fn taken(&mut self, key: &PoolKey, id: &SandboxId) -> Option<&mut Taken> {
        match self.by_key.get_mut(key)? {
            Slot::Taken(taken) if taken.id == *id => Some(taken),
            _ => None,
        }
    }

    fn end(&mut self, key: &PoolKey, until: Option<Instant>, why: String) {
        if let Some(Slot::Taken(taken)) = self.by_key.get(key) {
            taken.retire.cancel();
            let failures = taken.failures;
            self.rest(key, failures, until, why);
        }
    }

    fn rest(&mut self, key: &PoolKey, failures: u32, until: Option<Instant>, why: String) {
        self.by_key.insert(key.clone(), Slot::Resting { until, failures, why });
    }
}

/// Returns how long a version rests after so many failures.
fn rest(failures: u32) -> Duration {
    let doubled = FIRST_REST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_REST)
}

#[cfg(test)]
mod tests;
