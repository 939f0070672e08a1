//! From the head of the agent's answer to the head of ours.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Body;
use innkeep_protocol::headers;
use innkeep_protocol::server_timing::StartTiming;
use innkeep_sandbox::upstream::UpstreamBody;
use innkeep_sandbox::{Lease, StartPhases};

use crate::call::{Caller, header_value};
use crate::error::Error;
use crate::stream::End;

/// What passes as the agent sent it. Source: service model; `Content-Encoding` besides, without which the bytes that pass mean
/// something else.
static PASSED: [HeaderName; 4] =
    [CONTENT_TYPE, CONTENT_ENCODING, headers::MCP_SESSION_ID, headers::MCP_PROTOCOL_VERSION];

/// What passes too, and where the agent says none, comes back as the caller sent it. Source: service model, members of every answer.
static TRACE: [HeaderName; 4] = [headers::AMZN_TRACE_ID, headers::TRACEPARENT, headers::TRACESTATE, headers::BAGGAGE];

/// Returns the agent's answer if it is one that passes: 2xx, and no larger than `max_bytes` as far as it says. Anything else is
/// the agent's failure, whatever it meant to say: headers and body are dropped, and with them the connection.
pub(crate) fn accept(answer: Response<UpstreamBody>, max_bytes: u64) -> Result<Response<UpstreamBody>, Error> {
    if !answer.status().is_success() {
        Err(Error::AgentStatus(answer.status()))
    } else if answer.body().size_hint().lower() > max_bytes {
        Err(Error::AnswerTooLarge(max_bytes))
    } else {
        Ok(answer)
    }
}

/// Returns the caller's headers for an answer of the agent to `request`; hyper adds the length where the body knows it.
pub(crate) fn headers(
    request: &HeaderMap,
    agent: &HeaderMap,
    caller: &Caller,
    lease: &Lease,
    start: Option<StartPhases>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    let mut pass = |name: &HeaderName, from: &HeaderMap| {
        for value in from.get_all(name) {
            headers.append(name, value.clone());
        }
    };
    for name in &PASSED {
        pass(name, agent);
    }
    for name in &TRACE {
        pass(name, if agent.contains_key(name) { agent } else { request });
    }
    // The model requires one, and clients decide by it how to read.
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
    headers.insert(headers::START, HeaderValue::from_static(if lease.is_cold() { "cold" } else { "warm" }));
    headers.insert(headers::VERSION, HeaderValue::from(lease.deployment().version.get()));
    if let Some(start) = start {
        headers.insert(headers::SERVER_TIMING, header_value(&timing(&start).to_header()));
    }
    caller.identify(&mut headers);
    headers
}

fn timing(start: &StartPhases) -> StartTiming {
    let phases = start.times.iter().map(|(phase, time)| (phase.as_str().to_owned(), *time));
    StartTiming { way: start.way.as_str().to_owned(), phases: phases.collect() }
}

/// Returns what will tell that the agent's answer is complete.
pub(crate) fn end(status: StatusCode, agent: &HeaderMap) -> End {
    let framed = agent.contains_key(CONTENT_LENGTH) || agent.contains_key(TRANSFER_ENCODING);
    if framed || status == StatusCode::NO_CONTENT { End::Framed } else { End::Close }
}
