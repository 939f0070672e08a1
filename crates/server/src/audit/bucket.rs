//! How many refusals get a line of their own.

use innkeep_types::UnixMillis;
use innkeep_types::limits::{AUDIT_REFUSALS_BURST, AUDIT_REFUSALS_PER_SECOND};

/// Milliseconds that one line costs.
const COST: u64 = 1000 / AUDIT_REFUSALS_PER_SECOND as u64;

/// The most that is saved up.
const MOST: u64 = COST * AUDIT_REFUSALS_BURST as u64;

/// Time that was saved up, and is spent on lines.
#[derive(Debug)]
pub(super) struct Bucket {
    saved: u64,
    at: UnixMillis,
}

impl Bucket {
    /// Returns one that a whole burst can be taken from.
    pub(super) fn full(at: UnixMillis) -> Self {
        Self { saved: MOST, at }
    }

    /// Tells whether there is a line at this time; a clock that was set back gives none, and takes none away.
    pub(super) fn take(&mut self, now: UnixMillis) -> bool {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.saved = self.saved.saturating_add(passed).min(MOST);
        self.at = self.at.max(now);
        let has_one = self.saved >= COST;
        if has_one {
            self.saved -= COST;
        }
        has_one
    }
}
