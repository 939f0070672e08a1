//! What must hold for any bytes, one function per reader of hostile bytes; each panics where it does not, and tells whether the
//! bytes were understood, as those of the corpus must be.
//!
//! Run by libFuzzer (`cargo +nightly fuzz run sigv4`, with `cargo-fuzz` installed), and by the server's tests on stable, which
//! include this file and mutate the same corpus.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use innkeep_auth::jwt::{Error, KeySet, Rules, Token, verify};
use innkeep_auth::policy::{Caller, Context, Decision, Guarded, Kind, Policy, Request, decide};
use innkeep_auth::sigv4::{Presigned, Signed, SigningKeys};
use innkeep_gateway::{Assembler, Follower, Message, Next, Sender, Violation};
use innkeep_protocol::error_envelope::{envelope, open};
use innkeep_protocol::error_shape::ErrorBody;
use innkeep_protocol::event_stream::Decoder;
use innkeep_protocol::json_rpc::Glance;
use innkeep_protocol::link::exec::{ExecPlan, FromExec, ToExec};
use innkeep_protocol::link::{AgentState, ExitFacts, LaunchAnswer, LogLine, SandboxFacts, ToHost, ToSidecar};
use innkeep_protocol::ping::{Ping, PingStatus};
use innkeep_protocol::shell::{FromShell, ToShell};
use innkeep_types::limits::MAX_RPC_ID_BYTES;
use innkeep_types::{EndpointName, ErrorKind, RuntimeArn, RuntimeId, ServerProtocol, SessionId, UnixMillis};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// When the corpus was signed: 2026-11-20T10:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_168_800_000);

/// A request's head, signed, there or in its query: `METHOD target`, then a header per line. Nothing is good for a key that did not sign it.
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
    let (keys, secret) = (SigningKeys::default(), "another secret");
    let in_head = Signed::parse(&method, target, &headers, NOW);
    let in_query = Presigned::parse(&method, target, &headers, NOW);
    assert!(in_query.is_err() || Presigned::is_claimed(target), "{target}");
    assert!(in_head.is_err() || in_query.is_err(), "signed twice: {method} {target} {headers:?}");
    let verified =
        in_head.as_ref().is_ok_and(|signed| signed.verify(&keys, secret, &innkeep_auth::digest(b"")).is_ok())
            || in_query.as_ref().is_ok_and(|signed| signed.verify(&keys, secret).is_ok());
    assert!(!verified, "{method} {target} {headers:?}");
    in_head.is_ok() || in_query.is_ok()
}

/// Frames of a WebSocket: whose (`c`, `a`), in pieces of how many bytes, and the bytes. Where they are cut changes nothing, and what is
/// held back is no more than a header.
pub fn frames(data: &[u8]) -> bool {
    let [whose, cut, bytes @ ..] = data else { return false };
    let sender = if *whose == b'c' { Sender::Client } else { Sender::Agent };
    let whole = follow(sender, bytes, bytes.len().max(1));
    assert_eq!(whole, follow(sender, bytes, usize::from(*cut).max(1)));
    whole.0 == bytes.len() && whole.1.is_none()
}

/// Returns how many bytes pass, and what is wrong with the rest.
fn follow(sender: Sender, bytes: &[u8], cut: usize) -> (usize, Option<Violation>) {
    let mut follower = Follower::new(sender, 1 << 16);
    let (mut passed, mut arrived) = (0, 0);
    loop {
        match follower.next(&bytes[passed..arrived]) {
            Next::Pass { bytes: n_bytes, .. } => passed += n_bytes,
            Next::Refuse(violation) => return (passed, Some(violation)),
            Next::Wait => {
                assert!(arrived - passed < 14, "held back: {}", arrived - passed);
                if arrived == bytes.len() {
                    return (passed, None);
                }
                arrived = bytes.len().min(arrived + cut);
            }
        }
    }
}

/// A terminal's client: in pieces of how many bytes, and its frames; or a server's message. Where they are cut changes nothing, and what is
/// understood of a message is understood the same way when it is said again.
pub fn shell(data: &[u8]) -> bool {
    let [cut, bytes @ ..] = data else { return false };
    let whole = hear(bytes, bytes.len().max(1));
    assert_eq!(whole, hear(bytes, usize::from(*cut).max(1)));
    let (messages, violation) = whole;
    for message in &messages {
        let Message::Binary(message) = message else { continue };
        if let Ok(said) = ToShell::parse(message) {
            assert_eq!(ToShell::parse(&said.to_message()), Ok(said));
        }
    }
    let said = FromShell::parse(bytes);
    if let Ok(said) = &said {
        assert_eq!(FromShell::parse(&said.to_message()).as_ref(), Ok(said));
    }
    said.is_ok() || !messages.is_empty() && violation.is_none()
}

/// Returns the messages of a client's frames, and what is wrong with the rest.
fn hear(bytes: &[u8], cut: usize) -> (Vec<Message>, Option<Violation>) {
    let mut assembler = Assembler::new(1 << 16);
    let mut messages = Vec::new();
    for part in bytes.chunks(cut) {
        assembler.add(part);
        loop {
            match assembler.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}

/// An event stream: how it is cut, and the bytes. Where it is cut changes nothing, and what is read is written the same way.
pub fn event_stream(data: &[u8]) -> bool {
    let [cut, bytes @ ..] = data else { return false };
    let (mut whole, mut cut_up) = (Decoder::default(), Decoder::default());
    whole.push(bytes);
    let mut parts = bytes.chunks(usize::from(*cut).max(1));
    let mut written = Vec::new();
    loop {
        let message = whole.next_message();
        let other = loop {
            match cut_up.next_message() {
                Ok(None) => match parts.next() {
                    Some(part) => cut_up.push(part),
                    None => break Ok(None),
                },
                other => break other,
            }
        };
        assert_eq!(message, other);
        match message {
            Ok(Some(message)) => written.extend(message.encode().expect("what was read can be written")),
            Ok(None) | Err(_) => break,
        }
    }
    assert!(bytes.starts_with(&written));
    !written.is_empty()
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
        survives::<ToExec>(data),
        survives::<FromExec>(data),
        survives::<ExecPlan>(data),
    ];
    understood.contains(&true)
}

/// The body of a request to an MCP or A2A runtime: what is found of it is in the error, which is JSON-RPC whatever the body is, and one
/// line of an event stream where AG-UI is spoken.
pub fn json_rpc(data: &[u8]) -> bool {
    let Glance { id, .. } = Glance::of(data);
    assert!(id.to_string().len() <= 8 * MAX_RPC_ID_BYTES, "{id}");
    let message = String::from_utf8_lossy(data).chars().take(100).collect();
    let said = ErrorBody { message, ..ErrorBody::default() };
    for protocol in ServerProtocol::ALL {
        let envelope = envelope(protocol, ErrorKind::Agent, &id, &said);
        assert_eq!(open(&envelope.body), said);
        if protocol == ServerProtocol::AgUi {
            let lines = envelope.body.split(|byte| matches!(byte, b'\n' | b'\r'));
            assert_eq!(lines.filter(|line| !line.is_empty()).count(), 1);
        } else {
            let body: serde_json::Value = serde_json::from_slice(&envelope.body).expect("it is JSON");
            // Of a fraction the last digit may be lost.
            assert!(protocol == ServerProtocol::Http || id.is_f64() || body["id"] == id);
        }
    }
    !id.is_null()
}

/// A policy document, of a principal or of a resource: what is understood is JSON to others too, and allows nothing unless it
/// says Allow.
pub fn policy(data: &[u8]) -> bool {
    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let kinds = [Kind::Identity, Kind::Resource(ARN)].map(|kind| (kind, Policy::parse(text, kind)));
    let (mut understood, tags, context) = (false, BTreeMap::new(), Context::default());
    for (kind, policy) in kinds {
        let Ok(policy) = policy else { continue };
        understood = true;
        let value: serde_json::Value = serde_json::from_str(text).expect("a policy is JSON");
        let written = value.to_string();
        assert!(Policy::parse(&written, kind).is_ok(), "{text}");
        let account = innkeep_types::AccountId::parse("000000000000").expect("twelve digits");
        let (own, attached) = match kind {
            Kind::Identity => (vec![policy], None),
            Kind::Resource(_) => (Vec::new(), Some(policy)),
        };
        let principal = innkeep_auth::Principal::user("alice", &account, own, false);
        let guarded = Guarded { arn: ARN, policy: attached.as_ref(), tags: &tags };
        let request = Request { caller: Caller::Signed(&principal), action: "InvokeAgentRuntime", context: &context };
        let is_allowed = decide(&[guarded], &request) == Decision::Allow;
        assert!(!is_allowed || written.contains("\"Allow\""), "{text}");
    }
    understood
}

fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<T>(data) else { return false };
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), message);
    true
}

/// The examples of RFC 7515, appendix A.2 and A.3: their tokens, in the corpus, and their keys.
static SIGNED: [&[u8]; 2] = [include_bytes!("../corpus/jwt/rs256"), include_bytes!("../corpus/jwt/es256")];
static TRUSTED: LazyLock<KeySet> = LazyLock::new(|| {
    let keys = json!({"keys": [
        {"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    ]});
    KeySet::parse(keys.to_string().as_bytes()).expect("a key set")
});

/// A token, then on a line of its own what its issuer or a runtime's owner wrote: only what was signed gets past the signature.
pub fn jwt(data: &[u8]) -> bool {
    let (first, rest) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let compact = String::from_utf8_lossy(first);
    let (token, keys) = (Token::parse(&compact), KeySet::parse(rest));
    let rules = serde_json::from_slice(rest).ok().and_then(|rest| Rules::from_configuration(&rest).ok());
    if let Ok(token) = &token {
        let demands = json!({"discoveryUrl": "https://joe/.well-known/openid-configuration", "allowedClients": ["x"]});
        let demands = rules.clone().unwrap_or_else(|| Rules::from_configuration(&demands).expect("an authorizer"));
        if !SIGNED.iter().any(|signed| signed.starts_with(&[first, b"\n"].concat())) {
            let verdict = verify(token, &TRUSTED, "joe", &demands, UnixMillis(1_300_819_379_000));
            assert!(matches!(verdict, Err(Error::NoKey | Error::AmbiguousKey | Error::Signature)), "{compact}");
        }
        if let Ok(keys) = &keys {
            let _ = verify(token, keys, "joe", &demands, NOW);
        }
    }
    token.is_ok() || keys.is_ok() || rules.is_some()
}
