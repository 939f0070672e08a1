//! How many members a pool is to have: a pure function of what it was told. Times are handed in.

use std::collections::VecDeque;
use std::time::Duration;

use innkeep_types::{PoolSize, limits};
use tokio::time::Instant;

/// What is known of the sessions of one version.
#[derive(Debug)]
pub(super) struct Demand {
    /// What the deployer said; none: only what was asked for by hand.
    size: Option<PoolSize>,
    since: Instant,
    /// The last new session, or what counts as one.
    last: Option<Instant>,
    /// New sessions by second since `since`, oldest first, as far back as the window goes.
    arrivals: VecDeque<(u64, u64)>,
    /// From launch to the first good health answer, as it mostly was.
    start: Option<Duration>,
    /// Members that were asked for by hand and are not taken yet, and when.
    asked: Option<(u32, Instant)>,
}

impl Demand {
    pub(super) fn new(size: Option<PoolSize>, now: Instant) -> Self {
        Self { size, since: now, last: None, arrivals: VecDeque::new(), start: None, asked: None }
    }

    /// Notes a new session.
    pub(super) fn arrived(&mut self, now: Instant) {
        self.touched(now);
        let second = self.second(now);
        match self.arrivals.back_mut() {
            Some((last, n)) if *last == second => *n += 1,
            _ => self.arrivals.push_back((second, 1)),
        }
        while self.arrivals.front().is_some_and(|(first, _)| second - first >= limits::POOL_WINDOW.as_secs()) {
            self.arrivals.pop_front();
        }
    }

    /// Notes that a member was taken: one that was asked for is not made again.
    pub(super) fn taken(&mut self) {
        self.asked = self.asked.and_then(|(n, at)| Some((n.checked_sub(1).filter(|n| *n > 0)?, at)));
    }

    /// Notes that there are, or will be, sessions, though none has come.
    pub(super) fn touched(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Notes how long a start took. A quarter of the news is believed: one start on a busy host does not change the size.
    pub(super) fn started(&mut self, took: Duration) {
        self.start = Some(self.start.map_or(took, |before| (before * 3 + took) / 4));
    }

    /// Notes that `n` are to be there, whatever comes.
    pub(super) fn asked(&mut self, n: u32, now: Instant) {
        self.touched(now);
        self.asked = Some((n, now));
    }

    /// Tells whether there is nothing that members could wait for, and nobody said that there will be.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.size.is_none() && self.asked_now(now) == 0
    }

    /// Tells whether the size moves by itself.
    pub(super) fn is_adaptive(&self) -> bool {
        self.size == Some(PoolSize::Auto)
    }

    /// Tells for how long no session may come before the pool is drained.
    pub(super) fn patience(&self) -> Duration {
        match self.size {
            Some(PoolSize::Fixed(_)) => limits::POOL_FIXED_QUIET,
            Some(PoolSize::Auto) | None => limits::POOL_QUIET,
        }
    }

    /// Returns how many members there are to be.
    pub(super) fn wanted(&self, now: Instant) -> u32 {
        let sized = match self.size {
            Some(PoolSize::Fixed(n)) if !self.is_quiet(now) => n,
            Some(PoolSize::Auto) if !self.is_quiet(now) => self.adapted(now),
            _ => 0,
        };
        sized.max(self.asked_now(now)).min(limits::MAX_POOL_SIZE)
    }

    /// Tells whether no session has come for long.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let since = match self.size {
            Some(PoolSize::Fixed(_)) => Some(self.last.unwrap_or(self.since)),
            Some(PoolSize::Auto) | None => self.last,
        };
        since.is_none_or(|since| now.duration_since(since) >= self.patience())
    }

    fn asked_now(&self, now: Instant) -> u32 {
        self.asked.filter(|(_, at)| now.duration_since(*at) < limits::POOL_QUIET).map_or(0, |(n, _)| n)
    }

    fn adapted(&self, now: Instant) -> u32 {
        // Nothing to go by yet but that there was a session.
        let Some(start) = self.start else { return 1 };
        let windows = [limits::POOL_WINDOW, limits::POOL_BURST_WINDOW];
        windows.into_iter().map(|window| enough(self.arrived_within(window, now), window, start)).max().unwrap_or(1)
    }

    fn arrived_within(&self, window: Duration, now: Instant) -> u64 {
        let now = self.second(now);
        self.arrivals.iter().filter(|(second, _)| now.saturating_sub(*second) < window.as_secs()).map(|(_, n)| n).sum()
    }

    fn second(&self, now: Instant) -> u64 {
        now.duration_since(self.since).as_secs()
    }
}

/// Returns how many members are enough where `n` sessions came within `window` and a start takes so long: those that come, on average,
/// while one starts, twice the square root of that, since they do not come evenly, and one.
fn enough(n: u64, window: Duration, start: Duration) -> u32 {
    let start_ms = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
    // In thousandths of a session, as is the root.
    let meanwhile = n.saturating_mul(start_ms) / window.as_secs().max(1);
    let spread = 2 * meanwhile.saturating_mul(1000).isqrt();
    let members = meanwhile.saturating_add(spread).div_ceil(1000).saturating_add(1);
    u32::try_from(members).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Option<PoolSize> = Some(PoolSize::Auto);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn members_are_enough_for_those_who_come_while_one_starts() {
        let minute = |n, start_ms| enough(n, limits::POOL_WINDOW, Duration::from_millis(start_ms));
        // 0, 1, 5 and 9 per second.
        assert_eq!([0, 60, 300, 540].map(|n| minute(n, 250)), [1, 3, 5, 7]);
        assert_eq!([0, 60, 300, 540].map(|n| minute(n, 30)), [1, 2, 2, 3]);
        assert_eq!([1, 60].map(|n| minute(n, 10_000)), [2, 18]);
        assert_eq!(enough(u64::MAX, limits::POOL_WINDOW, Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_fixed_size_is_there_from_the_start_until_a_day_without_sessions() {
        let start = Instant::now();
        let mut demand = Demand::new(Some(PoolSize::Fixed(3)), start);
        assert_eq!(demand.wanted(start), 3);
        assert_eq!(demand.wanted(start + limits::POOL_FIXED_QUIET), 0);
        demand.arrived(start + limits::POOL_FIXED_QUIET);
        assert_eq!(demand.wanted(start + limits::POOL_FIXED_QUIET), 3);
        assert_eq!(Demand::new(Some(PoolSize::Fixed(0)), start).wanted(start), 0);
    }

    #[test]
    fn an_adaptive_size_follows_sessions_and_start_times() {
        let start = Instant::now();
        let mut demand = Demand::new(AUTO, start);
        assert_eq!(demand.wanted(start), 0, "nobody came yet");
        demand.arrived(start);
        assert_eq!(demand.wanted(start), 1, "it is not known how long a start takes");
        demand.started(secs(1));
        (0..9).for_each(|_| demand.arrived(start));
        // Two per second, for now.
        assert_eq!(demand.wanted(start), 6);
        assert_eq!(demand.wanted(start + limits::POOL_BURST_WINDOW), 2);
        assert_eq!(demand.wanted(start + limits::POOL_WINDOW), 1);
        assert_eq!(demand.wanted(start + limits::POOL_QUIET), 0);
    }

    #[test]
    fn a_steady_stream_is_counted_over_the_window_and_not_beyond() {
        let start = Instant::now();
        let mut demand = Demand::new(AUTO, start);
        demand.started(secs(1));
        for second in 0..600 {
            (0..5).for_each(|_| demand.arrived(start + secs(second)));
        }
        assert_eq!((demand.arrivals.len(), demand.wanted(start + secs(599))), (60, 11));
    }

    #[test]
    fn a_slow_start_moves_the_average_by_a_quarter() {
        let mut demand = Demand::new(AUTO, Instant::now());
        [4, 8].into_iter().for_each(|n| demand.started(secs(n)));
        assert_eq!(demand.start, Some(secs(5)));
    }

    #[test]
    fn what_was_asked_for_is_there_until_it_is_taken_or_was_not_wanted() {
        let start = Instant::now();
        let mut demand = Demand::new(None, start);
        assert!(demand.is_over(start));
        demand.asked(2, start);
        assert_eq!((demand.wanted(start), demand.is_over(start)), (2, false));
        demand.arrived(start);
        assert_eq!(demand.wanted(start), 2, "nobody took one");
        demand.taken();
        assert_eq!(demand.wanted(start), 1);
        assert_eq!(demand.wanted(start + limits::POOL_QUIET), 0);
        demand.taken();
        assert!(demand.is_over(start));
        let mut demand = Demand::new(Some(PoolSize::Fixed(3)), start);
        demand.asked(u32::MAX, start);
        assert_eq!(demand.wanted(start), limits::MAX_POOL_SIZE);
    }
}
