//! What has happened since the server started, for metrics. Counted where sessions start and end; a warm request touches none of it.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeep_types::StopReason;
use parking_lot::Mutex;

/// Upper ends of the classes of start times, milliseconds. Source: our choice: from a static program without isolation to an agent
/// that imports for half a minute.
pub const START_BUCKETS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];

/// How the start of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartResult {
    /// The agent answered its first health check.
    Ready,
    /// It did not, or could not be launched.
    Failed,
    /// The session was ended meanwhile.
    Aborted,
}

impl StartResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Failed, Self::Aborted];

    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// How often things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Starts of sessions that have ended, one way or another; takeovers are none.
    pub starts: BTreeMap<StartResult, u64>,
    /// Starts that ended well, by the first of [`START_BUCKETS`] that they fit in; the last is for those that fit in none.
    pub start_classes: [u64; START_BUCKETS.len() + 1],
    /// The time that they took together.
    pub start_time: Duration,
    /// Ends of sessions, by [`StopReason::as_str`].
    pub stops: BTreeMap<&'static str, u64>,
}

/// Keeps them. The lock is held for an addition.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

impl Counters {
    /// Counts a start that ended well.
    pub(crate) fn ready(&self, after: Duration) {
        let mut counts = self.0.lock();
        *counts.starts.entry(StartResult::Ready).or_default() += 1;
        counts.start_time += after;
        let class = START_BUCKETS.iter().take_while(|ms| u128::from(**ms) < after.as_millis()).count();
        if let Some(class) = counts.start_classes.get_mut(class) {
            *class += 1;
        }
    }

    /// Counts a start that did not, and why the session ended instead.
    pub(crate) fn not_ready(&self, reason: &StopReason) {
        let result = match reason {
            StopReason::StartFailed { .. } => StartResult::Failed,
            _ => StartResult::Aborted,
        };
        *self.0.lock().starts.entry(result).or_default() += 1;
    }

    /// Counts the end of a session.
    pub(crate) fn stopped(&self, reason: &StopReason) {
        *self.0.lock().stops.entry(reason.as_str()).or_default() += 1;
    }

    pub(crate) fn get(&self) -> Counts {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_in_the_first_class_that_it_fits_in() {
        let counters = Counters::default();
        for ms in [0, 5, 6, 30_000, 30_001] {
            counters.ready(Duration::from_millis(ms));
        }
        let counts = counters.get();
        assert_eq!((counts.start_classes[0], counts.start_classes[1]), (2, 1));
        assert_eq!((counts.start_classes[11], counts.start_classes[12]), (1, 1));
        assert_eq!((counts.starts[&StartResult::Ready], counts.start_time), (5, Duration::from_millis(60_012)));
    }
}
