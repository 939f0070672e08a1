//! The table of the rules, and the properties that hold for every sequence of events.

use proptest::prelude::*;

use super::*;
use crate::AgentExit;

const RULES: Rules = Rules { idle_timeout: Duration::from_secs(900), max_lifetime: Duration::from_secs(28_800) };

fn at(age: u64, leases: u32, last_used: u64) -> Now {
    Now { age: Duration::from_secs(age), leases, last_used: Duration::from_secs(last_used) }
}

fn running(busy: bool) -> State {
    State::Running { busy, changed: Duration::ZERO }
}

fn check(state: State, event: Event, now: Now, expect: Result<(&str, &[&str]), Denied>) {
    let got = step(state, event, now, &RULES).map(|s| {
        let state = match s.state {
            State::Stopping { ref reason } => format!("Stopping({})", reason.as_str()),
            ref other => other.phase(now.leases).to_owned(),
        };
        let effects: Vec<String> = s
            .effects
            .iter()
            .map(|e| match e {
                Effect::WakeAt(d) => format!("WakeAt({})", d.as_secs()),
                Effect::Kill { grace } => format!("Kill({})", grace.as_secs()),
                Effect::CloseIfUnused(reason) => format!("CloseIfUnused({})", reason.as_str()),
                other => format!("{other:?}"),
            })
            .collect();
        (state, effects)
    });
    let expect = expect.map(|(s, e)| (s.to_owned(), e.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()));
    assert_eq!(got, expect);
}

#[test]
fn a_ready_sandbox_opens_its_gate_and_arms_the_idle_timer() {
    check(State::Provisioning, Event::Ready, at(1, 0, 0), Ok(("Idle", &["OpenGate", "WakeAt(901)"])));
}

#[test]
fn an_unused_sandbox_idles_out_after_the_idle_timeout_and_not_before() {
    check(running(false), Event::Tick, at(899, 0, 0), Ok(("Idle", &["WakeAt(900)"])));
    check(running(false), Event::Tick, at(900, 0, 0), Ok(("Idle", &["CloseIfUnused(IdleTimeout)", "WakeAt(1800)"])));
    check(running(false), Event::Tick, at(900, 0, 500), Ok(("Idle", &["WakeAt(1400)"])));
    let unused = Event::Unused(StopReason::IdleTimeout);
    check(running(false), unused, at(900, 0, 0), Ok(("Stopping(IdleTimeout)", &["CloseGate", "Kill(15)"])));
}

#[test]
fn an_open_request_or_a_busy_agent_never_idles_out() {
    check(running(false), Event::Tick, at(5000, 1, 0), Ok(("Active", &["WakeAt(5900)"])));
    check(running(true), Event::Tick, at(5000, 0, 0), Ok(("Active", &["WakeAt(5900)"])));
}

#[test]
fn idle_time_counts_from_the_end_of_busy() {
    let calm = Event::Health { busy: false, changed: Duration::from_secs(4000) };
    check(running(true), calm, at(4000, 0, 0), Ok(("Idle", &["WakeAt(4900)"])));
}

#[test]
fn the_lifetime_ends_it_whatever_goes_on() {
    let end: (&str, &[&str]) = ("Stopping(MaxLifetime)", &["CloseGate", "Kill(15)"]);
    check(running(true), Event::Tick, at(28_800, 7, 28_000), Ok(end));
}

#[test]
fn missed_health_checks_end_only_an_unused_sandbox() {
    let missed = |misses| Event::Missed { misses, detail: "timed out".to_owned() };
    check(running(false), missed(2), at(10, 0, 0), Ok(("Idle", &[])));
    check(running(false), missed(3), at(10, 0, 0), Ok(("Idle", &["CloseIfUnused(Unhealthy)"])));
    check(running(false), missed(30), at(10, 1, 0), Ok(("Active", &[])));
}

#[test]
fn a_callers_stop_is_refused_while_starting_or_ending() {
    let stop = |reason| Event::Stop { reason, grace: Duration::from_secs(15) };
    let stopping = || State::Stopping { reason: StopReason::IdleTimeout };
    check(State::Provisioning, stop(StopReason::StoppedByCaller), at(0, 0, 0), Err(Denied::InProgress));
    check(stopping(), stop(StopReason::StoppedByCaller), at(0, 0, 0), Err(Denied::InProgress));
    check(stopping(), stop(StopReason::RuntimeDeleted), at(0, 0, 0), Ok(("Stopping(IdleTimeout)", &[])));
    let gone: (&str, &[&str]) = ("Stopping(RuntimeDeleted)", &["CloseGate", "Kill(15)"]);
    check(State::Provisioning, stop(StopReason::RuntimeDeleted), at(0, 0, 0), Ok(gone));
}

#[test]
fn a_stop_without_grace_ends_a_start() {
    let kill = Event::Stop { reason: StopReason::StoppedByCaller, grace: Duration::ZERO };
    let ending: (&str, &[&str]) = ("Stopping(StoppedByCaller)", &["CloseGate", "Kill(0)"]);
    check(State::Provisioning, kill, at(0, 0, 0), Ok(ending));
}

fn any_reason() -> impl Strategy<Value = StopReason> {
    prop_oneof![
        Just(StopReason::StoppedByCaller),
        Just(StopReason::RuntimeDeleted),
        Just(StopReason::HostLost { exit: None }),
        Just(StopReason::AgentExited { exit: AgentExit::Code(1) }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Ready),
        any_reason().prop_map(Event::StartFailed),
        (any::<bool>(), 0..30_000u64).prop_map(|(busy, s)| Event::Health { busy, changed: Duration::from_secs(s) }),
        (0..6u32).prop_map(|misses| Event::Missed { misses, detail: String::new() }),
        Just(Event::Tick),
        Just(Event::Tick),
        (any_reason(), any::<bool>()).prop_map(|(reason, now)| {
            Event::Stop { reason, grace: if now { Duration::ZERO } else { limits::STOP_GRACE } }
        }),
        any_reason().prop_map(Event::AgentExited),
        Just(Event::Ended),
    ]
}

proptest! {
    /// Plays a random life with a model of the gate beside it.
    #[test]
    fn every_life_keeps_its_promises(events in prop::collection::vec((any_event(), 0..2000u64, 0..3u32), 1..60)) {
        let mut state = State::Provisioning;
        let (mut age, mut opened, mut kills, mut gate_open, mut timer_armed) = (0, 0, 0, false, false);
        let mut last_used = 0;
        for (event, passed, leases) in events {
            age += passed;
            let leases = if gate_open { leases } else { 0 };
            if leases > 0 {
                last_used = age;
            }
            let now = at(age, leases, last_used);
            let mut queue = vec![event];
            while let Some(event) = queue.pop() {
                let before = state.clone();
                let is_kill = matches!(&event, Event::Stop { grace: Duration::ZERO, .. });
                let Ok(next) = step(state.clone(), event.clone(), now, &RULES) else {
                    prop_assert!(!matches!(before, State::Running { .. } | State::Stopped { .. }), "denied");
                    prop_assert!(!(is_kill && before == State::Provisioning), "a start withstood a kill");
                    continue;
                };
                if is_kill {
                    prop_assert!(matches!(next.state, State::Stopping { .. } | State::Stopped { .. }), "it lives on");
                }
                if let State::Stopped { .. } = before {
                    prop_assert_eq!(&next.state, &before, "Stopped is final");
                }
                if let (State::Running { .. }, Event::Tick) = (&before, &event) {
                    prop_assert!(age < 28_800 || !matches!(next.state, State::Running { .. }), "lived too long");
                }
                for effect in next.effects {
                    match effect {
                        Effect::OpenGate => { opened += 1; gate_open = true; }
                        Effect::CloseGate => gate_open = false,
                        Effect::Kill { .. } => kills += 1,
                        Effect::CloseIfUnused(reason) => if leases == 0 { queue.push(Event::Unused(reason)) },
                        Effect::WakeAt(when) => {
                            timer_armed = true;
                            prop_assert!(when.as_secs() >= age && when <= RULES.max_lifetime.max(now.age));
                        }
                    }
                }
                state = next.state;
            }
            prop_assert!(opened <= 1 && kills <= 1, "opened {opened}, killed {kills}");
            prop_assert_eq!(gate_open, matches!(state, State::Running { .. }), "the gate is open exactly while Running");
            prop_assert!(!gate_open || timer_armed, "Running without a timer");
        }
    }
}
