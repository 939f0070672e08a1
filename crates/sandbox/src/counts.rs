//! What has happened since the server started, for metrics. Counted where sessions start and end; a warm request touches none of it.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeep_types::StopReason;
use parking_lot::Mutex;

use crate::phases::{Phase, StartWay};

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

/// Why a new session was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// There are as many sessions as there may be.
    Sessions,
    /// Too many were started just now.
    StartRate,
    /// Memory is short.
    Memory,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sessions, Self::StartRate, Self::Memory];

    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::StartRate => "start-rate",
            Self::Memory => "memory",
        }
    }
}

/// Why a version has no zygote, or one no more, though it wants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZygoteRefusal {
    /// Its program cannot be forked at all.
    Program,
    /// Its imports failed, or left behind what a fork would lack or share.
    Imports,
    /// Its interpreter was not started, or ended.
    Interpreter,
    /// A fork failed.
    Fork,
    /// Those of other versions have all places.
    Places,
}

impl ZygoteRefusal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Program, Self::Imports, Self::Interpreter, Self::Fork, Self::Places];

    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Imports => "imports",
            Self::Interpreter => "interpreter",
            Self::Fork => "fork",
            Self::Places => "places",
        }
    }
}

/// What has happened to all zygotes since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZygoteCounts {
    /// Agents that were forked.
    pub forks: u64,
    /// How often a version was left without one.
    pub refusals: BTreeMap<ZygoteRefusal, u64>,
    /// Starts of one in the place of one that failed.
    pub restarts: u64,
    /// What those that live use now, bytes, counted as [`crate::driver::Usage::memory_bytes`]; 0 where nothing counts.
    pub memory_bytes: u64,
}

/// How long things took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many, by the first of [`START_BUCKETS`] that they fit in; the last is for those that fit in none.
    pub classes: [u64; START_BUCKETS.len() + 1],
    /// The time that they took together.
    pub total: Duration,
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        self.total += time;
        let class = START_BUCKETS.iter().take_while(|ms| Duration::from_millis(**ms) < time).count();
        if let Some(class) = self.classes.get_mut(class) {
            *class += 1;
        }
    }
}

/// How often things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Starts of sessions that have ended, one way or another; takeovers are none.
    pub starts: BTreeMap<StartResult, u64>,
    /// Starts that ended well.
    pub start: Histogram,
    /// The phases of those.
    pub phases: BTreeMap<(StartWay, Phase), Histogram>,
    /// New sessions that were refused.
    pub refusals: BTreeMap<Refusal, u64>,
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
        counts.start.add(after);
    }

    /// Counts a phase of a start that ended well.
    pub(crate) fn phase(&self, way: StartWay, phase: Phase, time: Duration) {
        self.0.lock().phases.entry((way, phase)).or_default().add(time);
    }

    /// Counts a new session that was refused.
    pub(crate) fn refused(&self, why: Refusal) {
        *self.0.lock().refusals.entry(why).or_default() += 1;
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
        let Counts { start: Histogram { classes, total }, starts, .. } = counters.get();
        assert_eq!((classes[0], classes[1], classes[11], classes[12]), (2, 1, 1, 1));
        assert_eq!((starts[&StartResult::Ready], total), (5, Duration::from_millis(60_012)));
    }
}
