//! How often something may be done, and by whom: a token bucket that is shared out among those who ask. New sandboxes are started by
//! it, for runtimes; requests are let in by others of the kind.
//!
//! Who asks alone has all of it. While others ask too, every one has an equal share of what comes in; what one does not use is for
//! anybody. So a burst of one asker's takes what is there, but of what comes afterwards no more than its share.
//!
//! ```text
//! rate ──┬─► share of one who asked lately ─────────┐ more than its part of the burst
//!        ├─► share of another                     ──┼─► free: whoever asks first
//!        └─► what newcomers had in advance          │
//!            (at most half)      not asked for long ┘
//! ```

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// A burst of this many seconds' worth is let through at once.
const BURST_SECONDS: u32 = 4;

/// How many seconds' worth newcomers may have in advance, together: who has not asked lately shall not find that a burst of
/// another's took everything. Source: our choice.
const ADVANCE_SECONDS: u32 = 1;

/// An asker has a share for as long after it asked last. Source: our choice: longer than any wait that [`FairRate::try_take`] tells,
/// so that who comes back finds its share grown.
const ASKED_LATELY: Duration = Duration::from_secs(10);

/// How many askers have a share of their own, if the burst is that large; the others have one together. Source: our choice; all
/// shares are gone through each time.
const MAX_SHARES: usize = 256;

/// The longest wait that is told. Source: our choice; with the rate 0 there is no other.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Lets through so many per second; `K` tells askers apart.
#[derive(Debug)]
pub struct FairRate<K> {
    per_second: f64,
    burst: f64,
    /// As many as the burst has tokens, so that each can hold one.
    max_shares: usize,
    filled: Instant,
    /// Tokens that anybody may have.
    free: f64,
    /// Tokens that newcomers had, and that are still to come in.
    advanced: f64,
    /// None: of all those who have none of their own.
    shares: HashMap<Option<K>, Share>,
}

#[derive(Debug)]
struct Share {
    tokens: f64,
    asked: Instant,
}

impl<K: Clone + Eq + Hash> FairRate<K> {
    /// Returns a full bucket; four seconds' worth are let through at once.
    pub fn new(per_second: u32, now: Instant) -> Self {
        let burst = per_second.saturating_mul(BURST_SECONDS);
        Self {
            per_second: f64::from(per_second),
            burst: f64::from(burst),
            max_shares: usize::try_from(burst).unwrap_or(usize::MAX).clamp(1, MAX_SHARES),
            filled: now,
            free: f64::from(burst),
            advanced: 0.0,
            shares: HashMap::new(),
        }
    }

    /// Takes one for the asker. If there is none for it: when there will be, unless more begin to ask.
    ///
    /// # Errors
    /// That time, 60 s at most.
    pub fn try_take(&mut self, asker: &K, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let (key, is_new) = self.join(asker, now);
        let n_shares = self.shares.len();
        let Some(share) = self.shares.get_mut(&key) else { return Err(LONGEST_WAIT) };
        let lacking = 1.0 - share.tokens - self.free;
        if lacking > 0.0 {
            let may_advance = is_new && self.advanced + lacking <= self.per_second * f64::from(ADVANCE_SECONDS);
            if !may_advance {
                return Err(wait(lacking * as_f64(n_shares), self.advanced, self.per_second));
            }
            self.advanced += lacking;
        }
        let own = share.tokens.min(1.0);
        share.tokens -= own;
        self.free = (self.free - (1.0 - own)).max(0.0);
        Ok(())
    }

    /// Shares out what came in since the last time.
    fn fill(&mut self, now: Instant) {
        let mut gained = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.filled = now;
        let (free, shares) = (&mut self.free, &mut self.shares);
        shares.retain(|_, share| {
            let is_kept = now.saturating_duration_since(share.asked) <= ASKED_LATELY;
            if !is_kept {
                *free += share.tokens;
            }
            is_kept
        });
        // Never all: those who are there would wait for newcomers alone.
        let paid = self.advanced.min(gained / 2.0);
        self.advanced -= paid;
        gained -= paid;
        match self.shares.len() {
            0 => self.free += gained,
            n_shares => {
                let each = gained / as_f64(n_shares);
                self.shares.values_mut().for_each(|share| share.tokens += each);
            }
        }
        self.trim(self.shares.len());
    }

    /// Leaves to everybody what is more than one share's part of the burst if there are so many, and to nobody what is more than the
    /// burst.
    fn trim(&mut self, n_shares: usize) {
        let most = (self.burst / as_f64(n_shares.max(1))).max(1.0);
        let mut held = 0.0;
        for share in self.shares.values_mut() {
            self.free += (share.tokens - most).max(0.0);
            share.tokens = share.tokens.min(most);
            held += share.tokens;
        }
        self.free = self.free.min((self.burst - held).max(0.0));
    }

    /// Takes note that somebody asks. Returns the key of his share, and whether the share is new.
    fn join(&mut self, asker: &K, now: Instant) -> (Option<K>, bool) {
        let own = Some(asker.clone());
        let key = own.clone().filter(|_| self.shares.contains_key(&own) || self.shares.len() < self.max_shares);
        if let Some(share) = self.shares.get_mut(&key) {
            share.asked = now;
            return (key, false);
        }
        let n_shares = self.shares.len() + 1;
        self.trim(n_shares);
        let tokens = self.free.min(self.burst / as_f64(n_shares));
        self.free -= tokens;
        self.shares.insert(key.clone(), Share { tokens, asked: now });
        (key, true)
    }
}

/// Returns how long it takes until so many tokens have come in, while those that were had in advance are paid back with half.
fn wait(tokens: f64, advanced: f64, per_second: f64) -> Duration {
    let seconds = (tokens + advanced.min(tokens)) / per_second;
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

fn as_f64(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests;
