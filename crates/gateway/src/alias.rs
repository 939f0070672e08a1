//! What `/agents/{name}/…` takes besides what `/runtimes/{target}/…` does: sessions by short names, from header, query or body.

use std::borrow::Cow;

use bytes::Bytes;
use http::request;
use innkeep_protocol::headers;
use innkeep_types::SessionId;
use percent_encoding::percent_decode_str;
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use crate::call;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Door;
use crate::spool::Spooled;
use tokio::time::{Instant, timeout_at};

/// How far into a body its session is looked for, bytes. Source: our choice: prompts are shorter, as a rule.
const LOOK_BYTES: usize = 64 << 10;

/// The session's name in query and body.
const SESSION: &str = "session_id";

/// Returns the session that the head of a request names, if it does.
pub(crate) fn session(door: Door, head: &request::Parts) -> Result<Option<SessionId>, Error> {
    match door {
        Door::Runtimes => call::session(head),
        Door::Agents => named(head),
    }
}

fn named(head: &request::Parts) -> Result<Option<SessionId>, Error> {
    let mut found = None;
    for value in head.headers.get_all(headers::SESSION_ID) {
        agree(&mut found, value.to_str().map_err(|_| bad_session())?)?;
    }
    for pair in head.uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == SESSION || name.eq_ignore_ascii_case(headers::SESSION_ID.as_str()) {
            let value = value.replace('+', " ");
            agree(&mut found, &percent_decode_str(&value).decode_utf8().map_err(|_| bad_session())?)?;
        }
    }
    Ok(found)
}

/// Takes in another place that names the session.
fn agree(found: &mut Option<SessionId>, name: &str) -> Result<(), Error> {
    let session = SessionId::from_short(name).ok_or_else(bad_session)?;
    match found {
        Some(other) if *other != session => {
            Err(Error::field(SESSION, "Member must be given once, or the same everywhere".to_owned()))
        }
        _ => {
            *found = Some(session);
            Ok(())
        }
    }
}

fn bad_session() -> Error {
    Error::field(SESSION, "Member must be 1 to 256 visible ASCII characters".to_owned())
}

/// Returns the session that the beginning of the body names, if it does. The body stays as it is.
pub(crate) async fn session_in_body(
    gateway: &Gateway,
    read: Option<&Spooled>,
    body: &mut Inbound,
    deadline: Instant,
) -> Result<Option<SessionId>, Error> {
    let beginning = match read {
        Some(read) => read.beginning(LOOK_BYTES).await?,
        None => {
            let peeked = timeout_at(deadline, body.peek(LOOK_BYTES, gateway.limits.body_stall_timeout)).await;
            Bytes::from(peeked.unwrap_or(Err(Error::BodyTooSlow(gateway.limits.stream_timeout)))?)
        }
    };
    session_of(&beginning)
}

/// Tells whether what begins like this may be a JSON object.
pub(crate) fn may_be_object(beginning: &[u8]) -> bool {
    beginning.trim_ascii_start().first().is_none_or(|byte| *byte == b'{')
}

fn session_of(beginning: &[u8]) -> Result<Option<SessionId>, Error> {
    let mut values = Vec::new();
    // It may be cut off in the middle, or no JSON at all, which is the agent's to judge: what was found until there counts.
    let _ = serde_json::Deserializer::from_slice(beginning).deserialize_map(Look(&mut values));
    let mut found = None;
    for value in values {
        match value {
            Value::Null => {}
            Value::String(name) => agree(&mut found, &name)?,
            _ => return Err(Error::field(SESSION, "Member must be a string".to_owned())),
        }
    }
    Ok(found)
}

/// Collects what an object says of its session.
struct Look<'a>(&'a mut Vec<Value>);

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name == SESSION {
                self.0.push(map.next_value()?);
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const ALICE: &str = "alice-innkeep-session-000000000000000000";

    #[track_caller]
    fn check_head(query: &str, header: Option<&str>, expect: Result<Option<&str>, ()>) {
        let mut request = Request::post(format!("/agents/a/invocations?{query}"));
        if let Some(header) = header {
            request = request.header(headers::SESSION_ID, header);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let found = session(Door::Agents, &head).map_err(drop);
        assert_eq!(found.as_ref().map(|found| found.as_ref().map(|id| id.as_str())), expect.as_ref().map(|id| *id));
    }

    #[test]
    fn a_session_is_named_by_header_or_query_and_may_be_short() {
        check_head("", None, Ok(None));
        check_head("", Some("alice"), Ok(Some(ALICE)));
        check_head("qualifier=a&session_id=alice", None, Ok(Some(ALICE)));
        check_head("session_id=al%69ce", Some("alice"), Ok(Some(ALICE)));
        check_head("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=alice", Some(ALICE), Ok(Some(ALICE)));
        check_head("session_id=bob", Some("alice"), Err(()));
        check_head("session_id=alice&session_id=bob", None, Err(()));
        check_head("session_id=", None, Err(()));
        check_head("session_id", None, Err(()));
        check_head("session_id=two+words", None, Err(()));
        check_head("session_id=%ff", None, Err(()));
        check_head(&format!("session_id={}", "x".repeat(257)), None, Err(()));
    }

    #[test]
    fn at_the_other_door_a_session_has_its_full_length() {
        let head = Request::post("/runtimes/a/invocations?session_id=alice").header(headers::SESSION_ID, "alice");
        assert!(session(Door::Runtimes, &head.body(()).unwrap().into_parts().0).is_err());
        let head = Request::post("/runtimes/a/invocations?session_id=alice").body(()).unwrap().into_parts().0;
        assert!(session(Door::Runtimes, &head).unwrap().is_none());
    }

    #[track_caller]
    fn check_body(body: &str, expect: Result<Option<&str>, ()>) {
        let found = session_of(body.as_bytes()).map_err(drop);
        assert_eq!(found.as_ref().map(|id| id.as_ref().map(|id| id.as_str())), expect.as_ref().map(|id| *id), "{body}");
    }

    #[test]
    fn a_session_is_named_by_the_body_wherever_it_stands_in_it() {
        check_body(r#"{"prompt": "a", "session_id": "alice"}"#, Ok(Some(ALICE)));
        check_body(r#" {"session_id":"alice","prompt":"#, Ok(Some(ALICE)));
        check_body(r#"{"session_\u0069d":"alice"}"#, Ok(Some(ALICE)));
        check_body(r#"{"a": {"session_id": "alice"}, "b": ["session_id"]}"#, Ok(None));
        check_body(r#"{"session_id": null}"#, Ok(None));
        check_body(r#"{"session_id": "alice", "session_id": "alice"}"#, Ok(Some(ALICE)));
        check_body(r#"{"session_id": "alice", "session_id": "bob"}"#, Err(()));
        check_body(r#"{"session_id": 7}"#, Err(()));
        check_body(r#"{"session_id": ""}"#, Err(()));
        check_body(r#"{"session_id": "two words"}"#, Err(()));
        for other in ["", "null", "[]", "session_id", r#""session_id""#, r#"[{"session_id":"alice"}]"#, "\u{0}{"] {
            check_body(other, Ok(None));
        }
    }

    #[test]
    fn what_may_be_an_object_is_told_by_its_first_character() {
        let found = ["", "  ", "\n{", "[", "x", "\"{"].map(|text| may_be_object(text.as_bytes()));
        assert_eq!(found, [true, true, true, false, false, false]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), depth in 0usize..3000) {
            let _ = session_of(&bytes);
            let _ = session_of(format!("{{\"a\":{}", "[{\"a\":".repeat(depth)).as_bytes());
        }
    }
}
