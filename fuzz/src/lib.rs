//! What must hold for any bytes, one function per reader of hostile bytes; each panics where it does not.
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
pub fn sigv4(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines.take(128) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Ok(signed) = Signed::parse(&method, target, &headers, NOW) {
        let verified = signed.verify(&SigningKeys::default(), "another secret", &innkeep_auth::digest(b""));
        assert!(verified.is_err(), "{method} {target} {headers:?}");
    }
}

/// A request's path, or what it names: what is accepted is spelled in one way only.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(route) = innkeep_gateway::route(&Method::POST, &text) {
        assert!(!route.raw_target.is_empty() && text.starts_with(&format!("/runtimes/{}/", route.raw_target)));
    }
    let name = text.strip_prefix("/runtimes/").unwrap_or(&text);
    match RuntimeArn::parse_with_endpoint(name) {
        Ok((arn, None)) => assert_eq!(arn.to_string(), name),
        Ok((arn, Some(endpoint))) => assert_eq!(arn.endpoint(&endpoint).to_string(), name),
        Err(_) => {}
    }
    if let Ok(id) = RuntimeId::parse(name) {
        assert!(id.as_str() == name && !name.contains(['/', '.', '%']));
    }
    if let Ok(endpoint) = EndpointName::parse(name) {
        assert!(endpoint.as_str() == name && !name.contains(['/', '.', '%']));
    }
    if let Ok(session) = SessionId::parse(name) {
        assert!(session.as_str() == name && HeaderValue::from_str(name).is_ok());
    }
}

/// The body of a health answer: only one that says so keeps a session busy.
pub fn ping(data: &[u8]) {
    if Ping::parse(data).status == PingStatus::HealthyBusy {
        let body: serde_json::Value = serde_json::from_slice(data).expect("it was read as JSON");
        assert_eq!(body["status"], "HealthyBusy");
    }
}

/// A frame of the link between host and sidecar, or a file that a sidecar left: what is understood is understood the same way
/// when it is passed on.
pub fn link(data: &[u8]) {
    survives::<ToHost>(data);
    survives::<ToSidecar>(data);
    survives::<AgentState>(data);
    survives::<ExitFacts>(data);
    survives::<LaunchAnswer>(data);
    survives::<SandboxFacts>(data);
    survives::<LogLine>(data);
}

fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(data) {
        let written = serde_json::to_vec(&message).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), message);
    }
}
