//! The `Server-Timing` header: where the time of an answer went, as our gateway writes it and our clients read it.
//! Source: W3C Server Timing, section 3.

use std::fmt::Write;
use std::time::Duration;

/// Where the time of a session's start went, as one request saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTiming {
    /// How the sandbox came about: `cold`, `pool` or `zygote`.
    pub way: String,
    /// Phases and their times, in order.
    pub phases: Vec<(String, Duration)>,
}

/// The entry that says how the sandbox came about. Not one of the phases, which are in milliseconds.
const START: &str = "start";

impl StartTiming {
    /// Returns the header's value: `start;desc=cold, queue;dur=0.1, launch;dur=4.2`. Names must be tokens.
    pub fn to_header(&self) -> String {
        let mut value = format!("{START};desc={}", self.way);
        for (name, time) in &self.phases {
            // Writing to a string cannot fail.
            let _ = write!(value, ", {name};dur={:.1}", time.as_secs_f64() * 1000.0);
        }
        value
    }

    /// Reads the header's value; none if it does not tell of a start. What else it tells is passed over.
    pub fn parse(value: &str) -> Option<Self> {
        let (mut way, mut phases) = (None, Vec::new());
        for entry in value.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            for (parameter, value) in parts.filter_map(|part| part.split_once('=')) {
                match parameter {
                    "desc" if name == START => way = Some(value.trim_matches('"').to_owned()),
                    "dur" if name != START => phases.extend(milliseconds(value).map(|time| (name.to_owned(), time))),
                    _ => {}
                }
            }
        }
        Some(Self { way: way?, phases })
    }
}

fn milliseconds(value: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(value.parse::<f64>().ok()? / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let phases = [("queue", 0), ("launch", 4_200), ("first-byte", 1_250_000)];
        let phases = phases.map(|(name, us)| (name.to_owned(), Duration::from_micros(us))).into();
        let timing = StartTiming { way: "zygote".to_owned(), phases };
        let value = timing.to_header();
        assert_eq!(value, "start;desc=zygote, queue;dur=0.0, launch;dur=4.2, first-byte;dur=1250.0");
        assert_eq!(StartTiming::parse(&value), Some(timing));
    }

    #[test]
    fn what_a_proxy_adds_or_breaks_is_passed_over() {
        let value =
            "cdn-cache;desc=MISS, start; desc=\"pool\" ,pool;dur=2, edge;dur=x, far;dur=-1, long;dur=1e400,,;dur";
        let timing = StartTiming::parse(value).unwrap();
        assert_eq!((timing.way.as_str(), timing.phases), ("pool", vec![("pool".to_owned(), Duration::from_millis(2))]));
        assert_eq!(StartTiming::parse("db;dur=53"), None);
        assert_eq!(StartTiming::parse(""), None);
    }
}
