//! What must hold for any bytes, one function per reader of hostile bytes; each panics where it does not, and tells whether the
//! bytes were understood, as those of the corpus must be.
//!
//! Run by libFuzzer (`cargo +nightly fuzz run sigv4`, with `cargo-fuzz` installed), and by the server's tests on stable, which
//! include this file and mutate the same corpus.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use innkeep_auth::sigv4::{Signed, SigningKeys};
use innkeep_protocol::link::{AgentState, ExitFacts, LaunchAnswer, LogLine, SandboxFacts, ToHost, ToSidecar};
use innkeep_protocol::ping::{Ping, PingStatus};
use innkeep_types::{EndpointName, RuntimeArn, RuntimeId, SessionId, UnixMillis};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// When the corpus was signed: 2026-11-20T10:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_168_800_000);

/// A request's head, signed: `METHOD target`, then a header per line. Nothing is good for a key that did not sign it.
pub fn sigv4(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return false };
    let mut headers = HeaderMap::new();
    for line in lines.take(128) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let Ok(signed) = Signed::parse(&method, target, &headers, NOW) else { return false };
    let verified = signed.verify(&SigningKeys::default(), "another secret", &innkeep_auth::digest(b""));
    assert!(verified.is_err(), "{method} {target} {headers:?}");
    true
}

/// A request's path, or what it names: what is accepted is spelled in one way only.
pub fn target(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let route = innkeep_gateway::route(&Method::POST, &text);
    if let Some(route) = &route {
        assert!(!route.raw_target.is_empty() && text.starts_with(&format!("/runtimes/{}/", route.raw_target)));
    }
    let arn = RuntimeArn::parse_with_endpoint(&text);
    match &arn {
        Ok((arn, None)) => assert_eq!(arn.to_string(), text),
        Ok((arn, Some(endpoint))) => assert_eq!(arn.endpoint(endpoint).to_string(), text),
        Err(_) => {}
    }
    let runtime = RuntimeId::parse(&*text).is_ok();
    let endpoint = EndpointName::parse(&*text).is_ok();
    assert!(!(runtime || endpoint) || !text.contains(['/', '.', '%', ':']), "{text}");
    let session = SessionId::parse(&*text).is_ok();
    assert!(!session || HeaderValue::from_str(&text).is_ok(), "{text}");
    route.is_some() || arn.is_ok() || runtime || endpoint || session
}

/// The body of a health answer: only one that says so keeps a session busy.
pub fn ping(data: &[u8]) -> bool {
    let says = serde_json::from_slice::<serde_json::Value>(data).ok();
    let says_busy = says.is_some_and(|body| body.get("status") == Some(&"HealthyBusy".into()));
    assert_eq!(Ping::parse(data).status == PingStatus::HealthyBusy, says_busy);
    true
}

/// A frame of the link between host and sidecar, or a file that a sidecar left: what is understood is understood the same way
/// when it is passed on.
pub fn link(data: &[u8]) -> bool {
    let understood = [
        survives::<ToHost>(data),
        survives::<ToSidecar>(data),
        survives::<AgentState>(data),
        survives::<ExitFacts>(data),
        survives::<LaunchAnswer>(data),
        survives::<SandboxFacts>(data),
        survives::<LogLine>(data),
    ];
    understood.contains(&true)
}

fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<T>(data) else { return false };
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), message);
    true
}
