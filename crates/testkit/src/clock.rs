//! Wall time for tests with paused time.

use innkeep_types::{Clock, UnixMillis};
use tokio::time::Instant;

/// Wall time that moves with tokio's clock: paused where that is paused, advanced where that is advanced.
#[derive(Debug, Clone, Copy)]
pub struct PausedClock {
    epoch: Instant,
    start: UnixMillis,
}

impl PausedClock {
    /// Returns a clock that shows `start` now. Called within a tokio runtime.
    pub fn starting_at(start: UnixMillis) -> Self {
        Self { epoch: Instant::now(), start }
    }
}

impl Clock for PausedClock {
    fn now(&self) -> UnixMillis {
        self.start.plus(self.epoch.elapsed())
    }
}
