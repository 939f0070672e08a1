//! Whether there is memory for one more session. Looked at a few times a second at most, and never for a session that lives.
//!
//! What is available now is not what is left: sandboxes that are starting have not taken theirs yet. Each holds a [`Reservation`] until
//! it is ready, and the next look, which then sees what it has taken, is fresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a look counts. Source: our choice.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The memory that is kept free.
#[derive(Debug)]
pub(crate) struct Headroom {
    /// Bytes; 0 keeps none, and is never looked for.
    floor: u64,
    last: Mutex<Option<Look>>,
    /// What starts are taken to need that are under way, bytes.
    reserved: AtomicU64,
    /// A start is over: the last look does not count any more.
    is_stale: AtomicBool,
    was_short: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    available: Option<u64>,
}

/// Memory that a start is taken to need, until it is over.
#[derive(Debug)]
pub(crate) struct Reservation {
    headroom: Arc<Headroom>,
    bytes: u64,
}

impl Headroom {
    pub(crate) fn new(floor: u64) -> Self {
        let (reserved, is_stale, was_short) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Self { floor, last: Mutex::new(None), reserved, is_stale, was_short }
    }

    /// Returns what is available, bytes, by `look`; none where that does not know, or nobody cares.
    pub(crate) fn available(&self, look: impl FnOnce() -> Option<u64>) -> Option<u64> {
        if self.floor == 0 {
            return None;
        }
        let mut last = self.last.lock();
        let is_stale = self.is_stale.swap(false, Ordering::Relaxed);
        if let Some(fresh) = last.filter(|last| !is_stale && last.at.elapsed() < LOOK_EVERY) {
            return fresh.available;
        }
        let available = look();
        *last = Some(Look { at: Instant::now(), available });
        available
    }

    /// Tells whether of what is `available` less than the floor is left, once those that are starting, and `others` besides, bytes, have
    /// what they need. The log says when that begins and ends.
    pub(crate) fn is_short(&self, available: Option<u64>, others: u64) -> bool {
        let Some(available) = available else { return false };
        let starting = self.reserved().saturating_add(others);
        let is_short = available.saturating_sub(starting) < self.floor;
        let was_short = self.was_short.swap(is_short, Ordering::Relaxed);
        let (available, starting, floor) = (available >> 20, starting >> 20, self.floor >> 20);
        if is_short && !was_short {
            warn!(
                memory.available_mib = available,
                memory.starting_mib = starting,
                "memory is short: {available} MiB are available, of which sandboxes that are starting need {starting}, and {floor} MiB \
                 are kept free; new sessions are refused"
            );
        } else if was_short && !is_short {
            info!(memory.available_mib = available, "memory is not short any more: {available} MiB are available");
        }
        is_short
    }

    /// Tells whether `bytes` more would leave the floor, besides what is needed already.
    pub(crate) fn has_room(&self, available: Option<u64>, others: u64, bytes: u64) -> bool {
        let needed = self.reserved().saturating_add(others).saturating_add(bytes);
        available.is_none_or(|available| available.saturating_sub(needed) >= self.floor)
    }

    /// Returns what starts are taken to need that are under way, bytes.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Sets aside what a start is taken to need.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.reserved.fetch_add(bytes, Ordering::Relaxed);
        Reservation { headroom: Arc::clone(self), bytes }
    }

    /// Lets the last look count no more: somebody has taken what was set aside.
    pub(crate) fn look_again(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.headroom.look_again();
        self.headroom.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_counts_for_a_quarter_of_a_second_or_until_a_start_is_over() {
        let (headroom, looks) = (Arc::new(Headroom::new(100)), Cell::new(0));
        let look = |available| {
            let available = headroom.available(|| {
                looks.set(looks.get() + 1);
                available
            });
            headroom.is_short(available, 0)
        };
        assert!(look(Some(99)));
        assert!(look(Some(100)), "still the first look");
        tokio::time::advance(LOOK_EVERY).await;
        assert!(!look(Some(100)));
        drop(headroom.reserve(0));
        assert!(look(Some(99)), "it is fresh");
        tokio::time::advance(LOOK_EVERY).await;
        assert!(!look(None));
        assert_eq!(looks.get(), 4);
    }

    #[test]
    fn what_is_set_aside_is_not_left() {
        let headroom = Arc::new(Headroom::new(100));
        assert!(!headroom.is_short(Some(164), 64) && headroom.is_short(Some(163), 64));
        let starts = [headroom.reserve(40), headroom.reserve(24)];
        assert!(!headroom.is_short(Some(164), 0) && headroom.is_short(Some(163), 0));
        assert!(headroom.has_room(Some(165), 0, 1) && !headroom.has_room(Some(164), 0, 1));
        drop(starts);
        assert_eq!(headroom.reserved(), 0);
        assert!(!headroom.is_short(Some(100), 0) && headroom.has_room(None, u64::MAX, u64::MAX));
    }

    #[tokio::test]
    async fn without_a_floor_nobody_looks() {
        let headroom = Headroom::new(0);
        assert!(!headroom.is_short(headroom.available(|| panic!("looked")), 0));
    }
}
