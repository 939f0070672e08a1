//! `/metrics`: what Prometheus asks for, in its text format 0.0.4.

mod crossings;
mod zygotes;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use http::{HeaderValue, Response, header};
use innkeep_gateway::{Gateway, InvocationCounts, Limit, WebSocketCounts, WebSocketEnd};
use innkeep_protocol::operator::SESSION_STATES;
use innkeep_sandbox::{
    Counts, Histogram, PoolCounts, PoolInfo, Refusal, Registry, START_BUCKETS, SessionInfo, StartResult, StartWay,
};
use innkeep_types::{InvocationState, StopReason, Tier};

use crate::rates::ControlRates;
use crate::respond::{self, Body};

/// Returns the answer to a scrape.
pub(crate) fn answer(registry: &Registry, gateway: &Gateway, control: &ControlRates) -> Response<Body> {
    let pools = Waiting { pools: registry.pools(), counts: registry.pool_counts() };
    let (counts, websockets) = (registry.counts(), gateway.websockets());
    let of_gateway = Limit::ALL.map(|limit| (limit.as_str(), gateway.crossings(limit)));
    let crossings = crossings::all(&of_gateway, &control.crossings(), &counts, &websockets);
    let text = render(registry.capabilities().tier, &registry.list(), &counts, &pools, &websockets)
        + &zygotes::text(registry.zygotes().iter().map(|zygote| &zygote.state), &registry.zygote_counts())
        + &crossings::text(&crossings)
        + &render_invocations(&gateway.invocation_counts());
    let mut response = Response::new(respond::full(text));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Every series is there from the start, at zero: what appears only when it happens cannot be seen to rise.
fn render(
    tier: Tier,
    sessions: &[SessionInfo],
    counts: &Counts,
    pools: &Waiting,
    websockets: &WebSocketCounts,
) -> String {
    let mut text = String::with_capacity(4096);
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, tier.as_str(), sessions, counts)
        .and_then(|()| pools.write(&mut text))
        .and_then(|()| write_websockets(&mut text, websockets));
    text
}

fn write_all(text: &mut String, tier: &str, sessions: &[SessionInfo], counts: &Counts) -> fmt::Result {
    head(text, "innkeep_info", "gauge", "Always 1; its labels say what runs.")?;
    writeln!(text, "innkeep_info{{version=\"{}\",tier=\"{tier}\"}} 1", env!("CARGO_PKG_VERSION"))?;

    head(text, "innkeep_sessions", "gauge", "Sessions that have a sandbox.")?;
    let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
    for session in sessions {
        *by_state.entry(session.state).or_default() += 1;
    }
    for state in SESSION_STATES.into_iter().filter(|state| *state != "Stopped") {
        let n = by_state.get(state).copied().unwrap_or_default();
        writeln!(text, "innkeep_sessions{{state=\"{state}\",tier=\"{tier}\"}} {n}")?;
    }

    head(text, "innkeep_open_requests", "gauge", "Requests that an agent is working on.")?;
    let open: u64 = sessions.iter().map(|session| u64::from(session.open_requests)).sum();
    writeln!(text, "innkeep_open_requests {open}")?;

    head(text, "innkeep_session_starts_total", "counter", "Starts of sessions that have ended, well or not.")?;
    for result in StartResult::ALL {
        let (word, n) = (result.as_str(), counts.starts.get(&result).copied().unwrap_or_default());
        writeln!(text, "innkeep_session_starts_total{{tier=\"{tier}\",result=\"{word}\"}} {n}")?;
    }

    head(text, "innkeep_session_stops_total", "counter", "Ends of sessions.")?;
    for reason in StopReason::WORDS {
        let n = counts.stops.get(reason).copied().unwrap_or_default();
        writeln!(text, "innkeep_session_stops_total{{reason=\"{reason}\"}} {n}")?;
    }

    let help = "From the first request of a session to its agent's first good health answer.";
    head(text, "innkeep_session_start_seconds", "histogram", help)?;
    histogram(text, "innkeep_session_start_seconds", &format!("tier=\"{tier}\""), &counts.start)?;

    let help = "The phases of those, and the time to the first byte of the first answer.";
    head(text, "innkeep_session_start_phase_seconds", "histogram", help)?;
    let none = Histogram::default();
    for way in StartWay::ALL {
        for phase in way.phases() {
            let labels = format!("tier=\"{tier}\",way=\"{}\",phase=\"{}\"", way.as_str(), phase.as_str());
            let times = counts.phases.get(&(way, *phase)).unwrap_or(&none);
            histogram(text, "innkeep_session_start_phase_seconds", &labels, times)?;
        }
    }

    head(text, "innkeep_sessions_refused_total", "counter", "New sessions that were refused because of a limit.")?;
    for why in Refusal::ALL {
        let (word, n) = (why.as_str(), counts.refusals.get(&why).copied().unwrap_or_default());
        writeln!(text, "innkeep_sessions_refused_total{{reason=\"{word}\"}} {n}")?;
    }
    Ok(())
}

fn histogram(text: &mut String, name: &str, labels: &str, times: &Histogram) -> fmt::Result {
    let mut sum = 0;
    for (class, n) in times.classes.iter().enumerate() {
        sum += n;
        let end = START_BUCKETS.get(class).map_or_else(|| "+Inf".to_owned(), |ms| seconds(*ms));
        writeln!(text, "{name}_bucket{{{labels},le=\"{end}\"}} {sum}")?;
    }
    writeln!(text, "{name}_sum{{{labels}}} {}", times.total.as_secs_f64())?;
    writeln!(text, "{name}_count{{{labels}}} {sum}")
}

/// What waits for sessions.
#[derive(Debug, Default)]
struct Waiting {
    pools: Vec<PoolInfo>,
    counts: PoolCounts,
}

impl Waiting {
    fn write(&self, text: &mut String) -> fmt::Result {
        head(text, "innkeep_pool_members", "gauge", "Sandboxes that wait for a session.")?;
        let ready: usize = self.pools.iter().map(|pool| pool.ready.len()).sum();
        let starting: usize = self.pools.iter().map(|pool| pool.starting).sum();
        writeln!(text, "innkeep_pool_members{{state=\"ready\"}} {ready}")?;
        writeln!(text, "innkeep_pool_members{{state=\"starting\"}} {starting}")?;
        let PoolCounts { hits, misses, wasted, refills, refill_time } = self.counts;
        for (name, help, n) in [
            ("innkeep_pool_hits_total", "New sessions that took a sandbox that waited.", hits),
            ("innkeep_pool_misses_total", "New sessions of a version with a pool that found none.", misses),
            ("innkeep_pool_wasted_total", "Sandboxes that waited and ended without a session.", wasted),
        ] {
            head(text, name, "counter", help)?;
            writeln!(text, "{name} {n}")?;
        }
        let help = "From the decision to start a sandbox that waits to the moment when it does.";
        head(text, "innkeep_pool_refill_seconds", "summary", help)?;
        writeln!(text, "innkeep_pool_refill_seconds_sum {}", refill_time.as_secs_f64())?;
        writeln!(text, "innkeep_pool_refill_seconds_count {refills}")
    }
}

fn write_websockets(text: &mut String, counts: &WebSocketCounts) -> fmt::Result {
    head(text, "innkeep_websockets", "gauge", "WebSockets that are open.")?;
    writeln!(text, "innkeep_websockets {}", counts.open)?;
    head(text, "innkeep_websockets_ended_total", "counter", "WebSockets that have ended.")?;
    for end in WebSocketEnd::ALL {
        let (word, n) = (end.as_str(), counts.ended.get(&end).copied().unwrap_or_default());
        writeln!(text, "innkeep_websockets_ended_total{{reason=\"{word}\"}} {n}")?;
    }
    head(text, "innkeep_shells", "gauge", "Terminals beside agents, with a client or without.")?;
    writeln!(text, "innkeep_shells {}", counts.shells)
}

fn render_invocations(counts: &InvocationCounts) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_invocations(&mut text, counts);
    text
}

/// Those whose callers do not wait.
fn write_invocations(text: &mut String, counts: &InvocationCounts) -> fmt::Result {
    for (name, help, n) in [
        ("innkeep_async_running", "Invocations without waiting callers that run.", counts.running as u64),
        ("innkeep_async_kept", "Those that run and those that are kept.", counts.kept as u64),
        ("innkeep_async_bytes", "Bytes of their answers.", counts.bytes),
    ] {
        head(text, name, "gauge", help)?;
        writeln!(text, "{name} {n}")?;
    }
    head(text, "innkeep_async_ended_total", "counter", "Invocations without waiting callers that ended.")?;
    for (state, n) in
        InvocationState::ALL.iter().zip(counts.ended).filter(|(state, _)| **state != InvocationState::Running)
    {
        writeln!(text, "innkeep_async_ended_total{{state=\"{}\"}} {n}", state.as_str())?;
    }
    head(text, "innkeep_async_refused_total", "counter", "Those that a limit refused or cut off.")?;
    for (limit, n) in ["running", "kept", "bytes"].into_iter().zip(counts.refused) {
        writeln!(text, "innkeep_async_refused_total{{limit=\"{limit}\"}} {n}")?;
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Returns milliseconds as seconds, without zeros that say nothing.
fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{}", format!("{rest:03}").trim_end_matches('0')) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use innkeep_sandbox::{Phase, ZygoteCounts};

    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_its_family_is_described() {
        let text = render(Tier::Container, &[], &Counts::default(), &Waiting::default(), &WebSocketCounts::default())
            + &zygotes::text(std::iter::empty(), &ZygoteCounts::default())
            + &render_invocations(&InvocationCounts::default());
        let mut series = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                family = described.split(' ').next().unwrap().to_owned();
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(&family), "{line}");
                assert!(series.insert(name.to_owned()), "twice: {line}");
                assert_eq!(value, if family == "innkeep_info" { "1" } else { "0" }, "{line}");
            }
        }
        assert!(series.contains("innkeep_sessions{state=\"Idle\",tier=\"container\"}"), "{series:?}");
        assert!(series.contains("innkeep_session_stops_total{reason=\"OutOfMemory\"}"), "{series:?}");
    }

    #[test]
    fn classes_of_the_histogram_add_up() {
        let mut start = Histogram { total: Duration::from_millis(30_260), ..Histogram::default() };
        (start.classes[0], start.classes[5], start.classes[12]) = (1, 2, 1);
        let phases = [((StartWay::Pool, Phase::FirstByte), start.clone())].into();
        let counts = Counts { start, phases, ..Counts::default() };
        let pools =
            PoolCounts { hits: 3, refills: 2, refill_time: Duration::from_millis(500), ..PoolCounts::default() };
        let websockets = WebSocketCounts { open: 2, shells: 3, ended: [(WebSocketEnd::FrameRate, 4)].into() };
        let pools = Waiting { pools: Vec::new(), counts: pools };
        let text = render(Tier::Process, &[], &counts, &pools, &websockets);
        for line in [
            "innkeep_session_start_seconds_bucket{tier=\"process\",le=\"0.005\"} 1",
            "innkeep_session_start_seconds_bucket{tier=\"process\",le=\"0.25\"} 3",
            "innkeep_session_start_seconds_bucket{tier=\"process\",le=\"30\"} 3",
            "innkeep_session_start_seconds_bucket{tier=\"process\",le=\"+Inf\"} 4",
            "innkeep_session_start_seconds_sum{tier=\"process\"} 30.26",
            "innkeep_session_start_seconds_count{tier=\"process\"} 4",
            "innkeep_session_start_phase_seconds_count{tier=\"process\",way=\"pool\",phase=\"first-byte\"} 4",
            "innkeep_session_start_phase_seconds_count{tier=\"process\",way=\"cold\",phase=\"first-byte\"} 0",
            "innkeep_pool_hits_total 3",
            "innkeep_pool_refill_seconds_sum 0.5",
            "innkeep_pool_refill_seconds_count 2",
            "innkeep_websockets 2",
            "innkeep_websockets_ended_total{reason=\"frame-rate\"} 4",
            "innkeep_shells 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
