//! The door that requests pass to use a sandbox: one atomic word, so that a warm request takes no lock and wakes nobody.
//!
//! The word counts those inside; its top bit says that the gate is closed. Closing for good cause (stop, exit) does not wait for
//! those inside; closing for lack of use succeeds only when nobody is inside, in the same instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const CLOSED: u64 = 1 << 63;

/// Counts the open requests of one sandbox. Closed when made.
#[derive(Debug)]
pub(crate) struct Gate {
    word: AtomicU64,
    /// When the last request ended, milliseconds after `epoch`.
    last_used_ms: AtomicU64,
    epoch: Instant,
}

impl Gate {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { word: AtomicU64::new(CLOSED), last_used_ms: AtomicU64::new(0), epoch }
    }

    /// Lets one request in; false if the gate is closed. Each success is followed by one [`Gate::leave`].
    pub(crate) fn try_enter(&self) -> bool {
        if self.word.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            return true;
        }
        self.word.fetch_sub(1, Ordering::Release);
        false
    }

    /// Ends one request.
    pub(crate) fn leave(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used_ms.fetch_max(now, Ordering::Relaxed);
        self.word.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn open(&self) {
        self.word.fetch_and(!CLOSED, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Closes the gate if nobody is inside.
    pub(crate) fn close_if_unused(&self) -> bool {
        self.word.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Returns how many are inside. A request that is just being refused by a closed gate may be counted for a moment.
    pub(crate) fn inside(&self) -> u32 {
        u32::try_from(self.word.load(Ordering::Acquire) & !CLOSED).unwrap_or(u32::MAX)
    }

    /// Returns when the last request ended, as a duration since the epoch; zero if there was none.
    pub(crate) fn last_used(&self) -> Duration {
        Duration::from_millis(self.last_used_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_gate_lets_in_only_while_open_and_notes_the_last_use() {
        let gate = Gate::new(Instant::now());
        assert!(!gate.try_enter());
        gate.open();
        assert!(gate.try_enter() && gate.try_enter());
        assert!(!gate.close_if_unused());
        tokio::time::advance(Duration::from_secs(7)).await;
        gate.leave();
        gate.leave();
        assert_eq!((gate.inside(), gate.last_used()), (0, Duration::from_secs(7)));
        assert!(gate.close_if_unused() && !gate.try_enter());
        assert!(!gate.close_if_unused(), "already closed");
    }

    #[test]
    fn nobody_is_inside_a_gate_that_was_closed_as_unused() {
        let gate = Arc::new(Gate::new(Instant::now()));
        for _ in 0..200 {
            gate.open();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while gate.try_enter() {
                            assert!(gate.inside() > 0);
                            gate.leave();
                            // A moment outside, or the closer below never finds the gate unused.
                            std::thread::yield_now();
                        }
                    });
                }
                while !gate.close_if_unused() {
                    std::thread::yield_now();
                }
            });
            assert_eq!(gate.inside(), 0);
        }
    }
}
