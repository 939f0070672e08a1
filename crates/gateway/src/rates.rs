//! How many requests are let in per second, of all callers together, shared out among those who come. Only who has proven who he is
//! is counted: what others send is refused before it costs anything, and takes nothing away from him.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use innkeep_sandbox::FairRate;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A rate that callers share. It keeps no names: callers are told apart by a keyed hash, and at most 257 of them.
#[derive(Debug)]
pub struct CallerRate {
    /// None: no limit, and no lock either.
    rate: Option<Mutex<FairRate<u64>>>,
    hasher: RandomState,
}

impl CallerRate {
    /// Returns a rate of so many per second, four seconds' worth at once; 0: no limit.
    pub fn new(per_second: u32) -> Self {
        let rate = (per_second > 0).then(|| Mutex::new(FairRate::new(per_second, Instant::now())));
        Self { rate, hasher: RandomState::new() }
    }

    /// Lets one request of the caller in; `caller` says who he is, and is not asked if there is no limit.
    ///
    /// # Errors
    /// In how many seconds he may come again, at least one.
    pub fn try_take<S: std::hash::Hash>(&self, caller: impl FnOnce() -> S) -> Result<(), u64> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let caller = self.hasher.hash_one(caller());
        let taken = rate.lock().try_take(&caller, Instant::now());
        taken.map_err(whole_seconds)
    }
}

/// Rounded up: who comes earlier is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_so_many_per_second_and_the_wait_that_is_told_is_enough() {
        let rate = CallerRate::new(2);
        let granted = |caller: &str, n: u32| (0..n).filter(|_| rate.try_take(|| caller.to_owned()).is_ok()).count();
        assert_eq!(granted("a", 100), 8);
        assert!(granted("b", 100) >= 1, "another's burst took not everything");
        let wait = rate.try_take(|| "a").unwrap_err();
        advance(Duration::from_secs(wait)).await;
        assert_eq!(rate.try_take(|| "a"), Ok(()));
        let none = CallerRate::new(0);
        assert!((0..10_000).all(|_| none.try_take(|| "a").is_ok()));
    }
}
