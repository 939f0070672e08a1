//! The phases of a start in words: `launch 4, agent 180, ping 20`.

use std::time::Duration;

use innkeep_protocol::operator::StartView;
use innkeep_protocol::server_timing::StartTiming;
use serde_json::{Value, json};

/// Returns where the time of a start went, milliseconds. Phases of less than half a millisecond are left out, but for the one that
/// says that the sandbox came from a pool.
pub(crate) fn words(start: &StartTiming) -> String {
    let StartTiming { way, phases } = start;
    let told = phases.iter().filter(|(name, time)| time.as_secs_f64() >= 0.0005 || name == way);
    let told: Vec<_> =
        told.map(|(name, time)| format!("{} {:.0}", name.replace('-', " "), time.as_secs_f64() * 1000.0)).collect();
    let told = told.join(", ");
    match way.as_str() {
        "cold" | "pool" => told,
        way => format!("{way}: {told}"),
    }
}

/// Returns the phases as JSON, in milliseconds: `{"launch": 4.2}`.
pub(crate) fn json(start: &StartTiming) -> Value {
    let ms = |time: &Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
    start.phases.iter().map(|(name, time)| (name.clone(), json!(ms(time)))).collect()
}

/// Returns the phases that the operator API shows, as an answer's header has them.
pub(crate) fn of_view(view: &StartView) -> StartTiming {
    let phases = [
        ("queue", view.queue_ms),
        ("pool", view.pool_ms),
        ("launch", view.launch_ms),
        ("agent", view.agent_ms),
        ("ping", view.ping_ms),
        ("first-byte", view.first_byte_ms),
    ];
    let time = |ms: f64| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
    let phases = phases.into_iter().filter_map(|(name, ms)| Some((name.to_owned(), time(ms?))));
    StartTiming { way: view.way.clone(), phases: phases.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_no_time_is_left_out() {
        let view = StartView {
            way: "cold".to_owned(),
            queue_ms: Some(0.1),
            launch_ms: Some(4.2),
            agent_ms: Some(179.6),
            ping_ms: Some(20.0),
            first_byte_ms: Some(0.5),
            ..StartView::default()
        };
        assert_eq!(words(&of_view(&view)), "launch 4, agent 180, ping 20, first byte 0");
        let shown = json!({"queue": 0.1, "launch": 4.2, "agent": 179.6, "ping": 20.0, "first-byte": 0.5});
        assert_eq!(json(&of_view(&view)), shown);
        assert_eq!(
            words(&of_view(&StartView { way: "zygote".to_owned(), ..view })),
            "zygote: launch 4, agent 180, ping 20, first byte 0"
        );
        let view =
            StartView { way: "pool".to_owned(), queue_ms: Some(0.0), pool_ms: Some(0.4), ..StartView::default() };
        assert_eq!(words(&of_view(&view)), "pool 0");
    }
}
