//! How fast new sandboxes may be started: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// A burst of this many seconds' worth of starts is let through at once.
const BURST_SECONDS: u32 = 4;

/// Lets through so many starts per second.
#[derive(Debug)]
pub(crate) struct StartRate {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    filled: Instant,
}

impl StartRate {
    pub(crate) fn new(per_second: u32) -> Self {
        let capacity = f64::from(per_second) * f64::from(BURST_SECONDS);
        Self { per_second: f64::from(per_second), capacity, tokens: capacity, filled: Instant::now() }
    }

    /// Takes one start, if one is left.
    pub(crate) fn try_take(&mut self) -> bool {
        let passed: Duration = self.filled.elapsed();
        self.filled = Instant::now();
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.capacity);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let mut rate = StartRate::new(5);
        assert_eq!((0..50).filter(|_| rate.try_take()).count(), 20);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..50).filter(|_| rate.try_take()).count(), 5);
    }
}
