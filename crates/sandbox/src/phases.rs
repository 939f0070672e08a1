//! Where the time of a cold start goes. Every moment from the request to the first byte of its answer is in one phase: a phase that
//! cannot be seen on this host, or is not part of how the sandbox came about, runs into the next.
//!
//! ```text
//! request ─ queue ─┬─ launch ─► sidecar's hello ─ agent ─► it listens ─ ping ─┬─► ready ─ first byte ─► answer
//!                  └─ pool ───────────────────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::counts::Counters;

/// How the sandbox of a session came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartWay {
    /// It was made, and its agent's program started.
    Cold,
    /// It was ready before the session was there.
    Pool,
    /// It was made, and its agent forked from an interpreter that had imported already.
    Zygote,
}

impl StartWay {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cold, Self::Pool, Self::Zygote];

    /// Returns the word used in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Pool => "pool",
            Self::Zygote => "zygote",
        }
    }

    /// Returns the phases that such a start can have, in order.
    pub fn phases(self) -> &'static [Phase] {
        match self {
            Self::Cold | Self::Zygote => &[Phase::Queue, Phase::Launch, Phase::Agent, Phase::Ping, Phase::FirstByte],
            Self::Pool => &[Phase::Queue, Phase::Pool, Phase::FirstByte],
        }
    }
}

/// A part of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// From the request's asking to the beginning of the start: an old sandbox's end is waited for here.
    Queue,
    /// Until a sandbox that was ready is bound to the session.
    Pool,
    /// Until the sandbox's sidecar says hello.
    Launch,
    /// Until the agent has bound its port.
    Agent,
    /// Until its first good health answer.
    Ping,
    /// Until the first byte of the answer to the request that waited.
    FirstByte,
}

impl Phase {
    /// Returns the word used in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Pool => "pool",
            Self::Launch => "launch",
            Self::Agent => "agent",
            Self::Ping => "ping",
            Self::FirstByte => "first-byte",
        }
    }
}

/// One start, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPhases {
    /// How the sandbox came about.
    pub way: StartWay,
    /// How long each phase took, as far as it was seen.
    pub times: BTreeMap<Phase, Duration>,
}

/// Measures one start.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// Said before the first phase ends that only this way has, or has not.
    pub(crate) way: StartWay,
    times: BTreeMap<Phase, Duration>,
    since: Instant,
}

impl Stopwatch {
    /// Returns one that measures a start which was asked for at that time, the first phase being [`Phase::Queue`].
    pub(crate) fn asked_at(asked: Instant) -> Self {
        Self { way: StartWay::Cold, times: BTreeMap::new(), since: asked }
    }

    /// Ends a phase now, and the next one begins; nothing if that phase has ended already, or the way does not have it.
    pub(crate) fn end(&mut self, phase: Phase) {
        if self.way.phases().contains(&phase) && !self.times.contains_key(&phase) {
            let now = Instant::now();
            self.times.insert(phase, now.saturating_duration_since(self.since));
            self.since = now;
        }
    }
}

/// The start of a session that is ready, whose last phase ends with the first answer.
#[derive(Debug)]
pub(crate) struct Start {
    phases: StartPhases,
    ready: Instant,
    first_byte: OnceLock<Duration>,
    counters: Arc<Counters>,
}

impl Start {
    /// Takes note of a start that is over but for its first answer, and counts it.
    pub(crate) fn new(stopwatch: &Stopwatch, counters: Arc<Counters>) -> Self {
        let phases = StartPhases { way: stopwatch.way, times: stopwatch.times.clone() };
        for (phase, time) in &phases.times {
            counters.phase(phases.way, *phase, *time);
        }
        Self { phases, ready: stopwatch.since, first_byte: OnceLock::new(), counters }
    }

    /// Returns what is known of it.
    pub(crate) fn phases(&self) -> StartPhases {
        self.with(self.first_byte.get().copied())
    }

    /// Says that a request that waited is being answered. Returns the phases as that request saw them; the first one's count.
    pub(crate) fn answered(&self) -> StartPhases {
        let time = self.ready.elapsed();
        if self.first_byte.set(time).is_ok() {
            self.counters.phase(self.phases.way, Phase::FirstByte, time);
        }
        self.with(Some(time))
    }

    fn with(&self, first_byte: Option<Duration>) -> StartPhases {
        let mut phases = self.phases.clone();
        phases.times.extend(first_byte.map(|time| (Phase::FirstByte, time)));
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ends the phases one after another, after so many milliseconds each.
    async fn measure(way: StartWay, phases: &[(Phase, u32)]) -> Start {
        let mut stopwatch = Stopwatch::asked_at(Instant::now());
        stopwatch.way = way;
        for (phase, ms) in phases {
            tokio::time::advance(MS * *ms).await;
            stopwatch.end(*phase);
        }
        Start::new(&stopwatch, Arc::default())
    }

    fn told(phases: &StartPhases) -> Vec<(&'static str, u128)> {
        phases.times.iter().map(|(phase, time)| (phase.as_str(), time.as_millis())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn every_moment_is_in_one_phase() {
        let phases = [(Phase::Queue, 1), (Phase::Launch, 4), (Phase::Agent, 180), (Phase::Ping, 20)];
        let start = measure(StartWay::Cold, &phases).await;
        assert_eq!(told(&start.phases()), [("queue", 1), ("launch", 4), ("agent", 180), ("ping", 20)]);
        tokio::time::advance(MS * 7).await;
        assert_eq!(told(&start.answered()).last(), Some(&("first-byte", 7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_is_not_seen_runs_into_the_next_and_none_ends_twice() {
        let phases = [(Phase::Queue, 1), (Phase::Queue, 1), (Phase::Launch, 4), (Phase::Ping, 200)];
        let start = measure(StartWay::Cold, &phases).await;
        assert_eq!(told(&start.phases()), [("queue", 1), ("launch", 5), ("ping", 200)]);
        let phases = [(Phase::Queue, 0), (Phase::Pool, 2), (Phase::Ping, 1)];
        let start = measure(StartWay::Pool, &phases).await;
        tokio::time::advance(MS * 2).await;
        assert_eq!(told(&start.answered()), [("queue", 0), ("pool", 2), ("first-byte", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_requests_that_waited_each_has_its_own_first_byte_and_the_first_one_counts() {
        let start = measure(StartWay::Zygote, &[(Phase::Queue, 0), (Phase::Launch, 4)]).await;
        for _ in 0..2 {
            tokio::time::advance(MS * 10).await;
            start.answered();
        }
        assert_eq!(told(&start.answered()).last(), Some(&("first-byte", 20)));
        assert_eq!(told(&start.phases()).last(), Some(&("first-byte", 10)));
        let counted = start.counters.get().phases;
        assert_eq!(counted[&(StartWay::Zygote, Phase::FirstByte)].total, MS * 10);
        assert_eq!(counted[&(StartWay::Zygote, Phase::Launch)].total, MS * 4);
    }
}
