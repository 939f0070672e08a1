//! One family for all limits: how often each was crossed, by the setting that moves it. What sessions and WebSockets count for
//! themselves is taken from there.

use std::fmt::Write;

use innkeep_gateway::{WebSocketCounts, WebSocketEnd};
use innkeep_sandbox::{Counts, Refusal};

const FAMILY: &str = "innkeep_limit_crossings_total";

/// Returns the crossings of every limit by its setting; two parts of the server may hold to one.
pub(super) fn all(
    gateway: &[(&'static str, u64)],
    control: &[(&'static str, u64)],
    sessions: &Counts,
    websockets: &WebSocketCounts,
) -> Vec<(&'static str, u64)> {
    let refused = |why| sessions.refusals.get(&why).copied().unwrap_or_default();
    let stopped = |reason| sessions.stops.get(reason).copied().unwrap_or_default();
    let socket = |end| websockets.ended.get(&end).copied().unwrap_or_default();
    let of_sessions = [
        ("stream_timeout_secs", socket(WebSocketEnd::TimeLimit)),
        ("write_stall_timeout_secs", socket(WebSocketEnd::Stalled)),
        ("max_frame_bytes", socket(WebSocketEnd::FrameSize)),
        ("max_frames_per_second", socket(WebSocketEnd::FrameRate)),
        ("max_active_sessions", refused(Refusal::Sessions)),
        ("max_starts_per_second", refused(Refusal::StartRate)),
        ("memory_floor_mib", refused(Refusal::Memory)),
        ("maxLifetime", stopped("MaxLifetime")),
        ("memory_mib", stopped("OutOfMemory")),
    ];
    let mut all: Vec<(&'static str, u64)> = Vec::new();
    for (name, n) in gateway.iter().chain(control).copied().chain(of_sessions) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += n,
            None => all.push((name, n)),
        }
    }
    all
}

pub(super) fn text(crossings: &[(&'static str, u64)]) -> String {
    let mut text = format!(
        "# HELP {FAMILY} How often a limit was crossed, by the setting that moves it.\n# TYPE {FAMILY} counter\n"
    );
    for (limit, n) in crossings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{FAMILY}{{limit=\"{limit}\"}} {n}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use innkeep_gateway::Limit;
    use innkeep_types::StopReason;

    use super::*;

    #[test]
    fn every_limit_is_told_once_from_the_start_and_those_of_two_parts_are_added_up() {
        let gateway = Limit::ALL.map(|limit| (limit.as_str(), u64::from(limit == Limit::Stream)));
        let control = [("max_gets_per_second", 2)];
        let none = all(&gateway, &control, &Counts::default(), &WebSocketCounts::default());
        let names: BTreeSet<&str> = none.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), none.len(), "{none:?}");
        let websockets = WebSocketCounts { open: 0, shells: 0, ended: [(WebSocketEnd::TimeLimit, 4)].into() };
        let sessions = Counts { stops: [("OutOfMemory", 3)].into(), ..Counts::default() };
        let text = text(&all(&gateway, &control, &sessions, &websockets));
        for line in [
            "innkeep_limit_crossings_total{limit=\"stream_timeout_secs\"} 5",
            "innkeep_limit_crossings_total{limit=\"max_gets_per_second\"} 2",
            "innkeep_limit_crossings_total{limit=\"memory_mib\"} 3",
            "innkeep_limit_crossings_total{limit=\"max_body_bytes\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(["MaxLifetime", "OutOfMemory"].iter().all(|reason| StopReason::WORDS.contains(reason)));
    }
}
