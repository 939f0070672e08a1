//! Whether there is memory for one more session. Looked at a few times a second at most, and never for a session that lives.

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
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    is_short: bool,
}

impl Headroom {
    pub(crate) fn new(floor: u64) -> Self {
        Self { floor, last: Mutex::new(None) }
    }

    /// Tells whether less than the floor is available, bytes, by `look`; where that does not know, it is not. The log says when that
    /// begins and ends.
    pub(crate) fn is_short(&self, look: impl FnOnce() -> Option<u64>) -> bool {
        if self.floor == 0 {
            return false;
        }
        let mut last = self.last.lock();
        if let Some(fresh) = last.filter(|last| last.at.elapsed() < LOOK_EVERY) {
            return fresh.is_short;
        }
        let available = look();
        let is_short = available.is_some_and(|available| available < self.floor);
        let was_short = last.replace(Look { at: Instant::now(), is_short }).is_some_and(|last| last.is_short);
        let (available, floor) = (available.unwrap_or_default() >> 20, self.floor >> 20);
        if is_short && !was_short {
            warn!(
                memory.available_mib = available,
                "memory is short: {available} MiB are available, and {floor} MiB are kept free; new sessions are refused"
            );
        } else if was_short && !is_short {
            info!(memory.available_mib = available, "memory is not short any more: {available} MiB are available");
        }
        is_short
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_counts_for_a_quarter_of_a_second() {
        let (headroom, looks) = (Headroom::new(100), Cell::new(0));
        let look = |available| {
            headroom.is_short(|| {
                looks.set(looks.get() + 1);
                available
            })
        };
        assert!(look(Some(99)));
        assert!(look(Some(100)), "still the first look");
        tokio::time::advance(LOOK_EVERY).await;
        assert!(!look(Some(100)));
        tokio::time::advance(LOOK_EVERY).await;
        assert!(!look(None));
        assert_eq!(looks.get(), 3);
    }

    #[tokio::test]
    async fn without_a_floor_nobody_looks() {
        assert!(!Headroom::new(0).is_short(|| panic!("looked")));
    }
}
