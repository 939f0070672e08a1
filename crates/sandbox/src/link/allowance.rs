//! How much a sidecar may say unasked: a bucket of frames that time fills again. Answers to dials are not its business, because
//! the host itself bounds them.

use std::time::Duration;

use tokio::time::Instant;

/// Frames that may come at once. An honest sidecar says one when its agent's health changes, which it looks at every two seconds.
const BURST: u32 = 1000;

/// The time that earns one more frame. A frame costs the host some 10 µs: at this rate a sidecar takes a thousandth of a core.
const PER_FRAME: Duration = Duration::from_millis(10);

/// What is left in the bucket, as the moment at which it will be full again.
#[derive(Debug)]
pub(super) struct Allowance {
    full_at: Instant,
}

impl Allowance {
    /// Returns a full bucket.
    pub(super) fn full() -> Self {
        Self { full_at: Instant::now() }
    }

    /// Takes one frame out, and tells whether there was one.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let full_at = self.full_at.max(now) + PER_FRAME;
        let is_allowed = full_at - now <= PER_FRAME * BURST;
        if is_allowed {
            self.full_at = full_at;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_what_time_earns() {
        let mut allowance = Allowance::full();
        let burst = usize::try_from(BURST).unwrap();
        let mut passes = |tries: usize| (0..tries).filter(|_| allowance.take()).count();
        assert_eq!(passes(burst + 500), burst);
        tokio::time::advance(PER_FRAME * 7).await;
        assert_eq!(passes(500), 7);
        tokio::time::advance(PER_FRAME * BURST * 9).await;
        assert_eq!(passes(burst + 500), burst, "rest earns no more than one burst");
    }
}
