//! The life of one sandbox of a session, as a pure function. The actor that owns the session performs the effects.
//!
//! ```text
//!                  Ready                    Stop, AgentExited, lifetime,
//!  Provisioning ───────────► Running ──────── idle or unhealthy and unused ──────► Stopping ───────► Stopped
//!       │                                                                             ▲      Ended
//!       └────────────── StartFailed, AgentExited, Stop(not by caller, or no grace) ───┘
//! ```
//!
//! *Active* and *Idle* of the API are `Running` seen together with the open leases: leases are counted by an atomic gate beside
//! the actor, so that a warm request wakes nobody. What must not race with a new lease (ending an unused sandbox) is therefore
//! a question to the gate, [`Effect::CloseIfUnused`], whose yes comes back as [`Event::Unused`].
//!
//! Times are durations since the sandbox's start ("age").

use std::time::Duration;

use crate::{StopReason, limits};

/// Where the sandbox stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Being launched, or its agent has not answered yet.
    Provisioning,
    /// Requests may use it.
    Running {
        /// The agent says `HealthyBusy`.
        busy: bool,
        /// Age at the last change of the agent's own status.
        changed: Duration,
    },
    /// Being ended; requests wait for the end and then start afresh.
    Stopping {
        /// Why.
        reason: StopReason,
    },
    /// Nothing of it is left.
    Stopped {
        /// Why.
        reason: StopReason,
    },
}

/// When sessions of this runtime end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Time unused after which it is ended.
    pub idle_timeout: Duration,
    /// Age at which it is ended regardless.
    pub max_lifetime: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first good health answer.
    Ready,
    /// It will never be ready.
    StartFailed(StopReason),
    /// The agent's own status, or its time of last update, changed.
    Health {
        /// `HealthyBusy`.
        busy: bool,
        /// Age at the change.
        changed: Duration,
    },
    /// So many health checks in a row failed.
    Missed {
        /// How many.
        misses: u32,
        /// What the last one saw.
        detail: String,
    },
    /// The timer that [`Effect::WakeAt`] set.
    Tick,
    /// The gate was closed with nobody inside.
    Unused(StopReason),
    /// Somebody asks for the end.
    Stop {
        /// Why.
        reason: StopReason,
        /// From SIGTERM to SIGKILL.
        grace: Duration,
    },
    /// The agent's process ended, or the sandbox was lost.
    AgentExited(StopReason),
    /// Nothing is left.
    Ended,
}

/// The levels at the time of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since the start.
    pub age: Duration,
    /// Requests open.
    pub leases: u32,
    /// Age at the end of the last request.
    pub last_used: Duration,
}

/// What the actor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Let requests in.
    OpenGate,
    /// Let no request in; those inside are aborted by the published state.
    CloseGate,
    /// Close the gate if nobody is inside, and if so feed [`Event::Unused`] with this reason.
    CloseIfUnused(StopReason),
    /// End the sandbox, then feed [`Event::Ended`].
    Kill {
        /// From SIGTERM to SIGKILL.
        grace: Duration,
    },
    /// Feed [`Event::Tick`] at this age; replaces the timer set before.
    WakeAt(Duration),
}

/// The next state, and what to do on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The next state.
    pub state: State,
    /// In order.
    pub effects: Vec<Effect>,
}

/// Why an event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A stop by the caller that leaves time met a session that is starting, or any a session that is ending: 409
    /// RetryableConflict.
    InProgress,
}

impl State {
    /// Returns the API's word for the state, given the open leases.
    pub fn phase(&self, leases: u32) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::Running { busy, .. } if *busy || leases > 0 => "Active",
            Self::Running { .. } => "Idle",
            Self::Stopping { .. } => "Stopping",
            Self::Stopped { .. } => "Stopped",
        }
    }

    /// Returns the age at which it idles out if nothing more happens; none unless it is idle.
    pub fn idles_out_at(&self, rules: &Rules, now: Now) -> Option<Duration> {
        match self {
            Self::Running { busy: false, changed } if now.leases == 0 => {
                Some(now.last_used.max(*changed).saturating_add(rules.idle_timeout))
            }
            _ => None,
        }
    }
}

/// Returns what `event` makes of `state`. Total: an event that means nothing in a state leaves it as it is.
pub fn step(state: State, event: Event, now: Now, rules: &Rules) -> Result<Step, Denied> {
    match (state, event) {
        (State::Provisioning, Event::Ready) => {
            let running = State::Running { busy: false, changed: now.age };
            let wake = next_wake(&running, rules, now);
            Ok(Step { state: running, effects: vec![Effect::OpenGate, wake] })
        }
        (State::Provisioning, Event::StartFailed(reason) | Event::AgentExited(reason)) => {
            Ok(stopping(reason, Duration::ZERO))
        }
        // An operator's kill leaves no time and waits for none: a start is no reason to refuse it.
        (State::Provisioning, Event::Stop { reason: StopReason::StoppedByCaller, grace }) if !grace.is_zero() => {
            Err(Denied::InProgress)
        }
        (State::Stopping { .. }, Event::Stop { reason: StopReason::StoppedByCaller, .. }) => Err(Denied::InProgress),
        (State::Provisioning, Event::Stop { reason, grace }) => Ok(stopping(reason, grace)),

        (State::Running { .. }, Event::Health { busy, changed }) => {
            let running = State::Running { busy, changed };
            let wake = next_wake(&running, rules, now);
            Ok(Step { state: running, effects: vec![wake] })
        }
        // A single-threaded agent cannot answer while it works: with a request open only the process's exit is death.
        (state @ State::Running { .. }, Event::Missed { misses, detail })
            if misses >= limits::PING_MISSES && now.leases == 0 =>
        {
            Ok(Step { state, effects: vec![Effect::CloseIfUnused(StopReason::Unhealthy { detail })] })
        }
        (State::Running { .. }, Event::Tick) if now.age >= rules.max_lifetime => {
            Ok(stopping(StopReason::MaxLifetime, limits::STOP_GRACE))
        }
        (state @ State::Running { .. }, Event::Tick) => {
            let mut effects = Vec::new();
            if state.idles_out_at(rules, now).is_some_and(|at| now.age >= at) {
                effects.push(Effect::CloseIfUnused(StopReason::IdleTimeout));
            }
            effects.push(next_wake(&state, rules, now));
            Ok(Step { state, effects })
        }
        (State::Running { .. }, Event::Unused(reason)) => Ok(stopping(reason, limits::STOP_GRACE)),
        (State::Running { .. }, Event::Stop { reason, grace }) => Ok(stopping(reason, grace)),
        (State::Running { .. }, Event::AgentExited(reason)) => Ok(stopping(reason, Duration::ZERO)),

        (State::Stopping { reason }, Event::Ended) => {
            Ok(Step { state: State::Stopped { reason }, effects: Vec::new() })
        }
        (state, _) => Ok(Step { state, effects: Vec::new() }),
    }
}

fn stopping(reason: StopReason, grace: Duration) -> Step {
    Step { state: State::Stopping { reason }, effects: vec![Effect::CloseGate, Effect::Kill { grace }] }
}

/// The next age at which something may be due. While the sandbox is in use that is one idle timeout from now: a lease that
/// closes in between makes that tick early, never late, and the tick then waits for the rest.
fn next_wake(state: &State, rules: &Rules, now: Now) -> Effect {
    let idle_at = match state.idles_out_at(rules, now) {
        Some(at) if at > now.age => at,
        _ => now.age.saturating_add(rules.idle_timeout),
    };
    Effect::WakeAt(idle_at.min(rules.max_lifetime).max(now.age))
}

#[cfg(test)]
mod tests;
