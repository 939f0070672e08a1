//! What errors and sessions need to know of a JSON-RPC request: its id, and whether it begins an MCP session. Nothing else of it is looked
//! at. Source: JSON-RPC 2.0 section 4.

use std::borrow::Cow;

use innkeep_types::limits;
use serde::Deserialize;
use serde_json::Value;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Glance {
    /// A string of at most [`limits::MAX_RPC_ID_BYTES`], or a number; `Null` where there is none, as in a notification, a batch, and what
    /// is no JSON-RPC.
    pub id: Value,
    /// Whether it is the first request of an MCP session.
    pub is_initialize: bool,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
}

impl Glance {
    /// Returns what is found in a body, whatever it is.
    pub fn of(data: &[u8]) -> Self {
        let Ok(Request { id, method }) = serde_json::from_slice(data) else { return Self::default() };
        let is_id = match &id {
            Value::String(id) => id.len() <= limits::MAX_RPC_ID_BYTES,
            Value::Number(_) => true,
            _ => false,
        };
        Self { id: if is_id { id } else { Value::Null }, is_initialize: method.as_deref() == Some("initialize") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(body: &str, id: Value, is_initialize: bool) {
        assert_eq!(Glance::of(body.as_bytes()), Glance { id, is_initialize }, "{body}");
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        check(r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"id":8}}"#, json!(7), true);
        check(
            r#"{"method":"tools/call","params":{"method":"initialize"},"jsonrpc":"2.0","id":"a\"b"}"#,
            json!("a\"b"),
            false,
        );
        check(r#"{"method":"init\u0069alize","id":-1.5}"#, json!(-1.5), true);
    }

    #[test]
    fn what_has_none_has_null() {
        for body in [
            r#"{"method":"notifications/initialized"}"#,
            r#"{"id":null,"method":"a"}"#,
            r#"{"id":{"a":1},"method":"a"}"#,
            r#"[{"id":1,"method":"a"}]"#,
            r#"{"id":1,"id":2,"method":"a"}"#,
            r#"{"id":1,"method":"a""#,
            "hello",
            "",
            "\u{fffd}",
        ] {
            check(body, Value::Null, false);
        }
    }

    #[test]
    fn an_id_is_bounded() {
        let of = |len: usize| Glance::of(format!(r#"{{"id":"{}"}}"#, "x".repeat(len)).as_bytes()).id;
        assert!(of(limits::MAX_RPC_ID_BYTES).is_string());
        assert_eq!(of(limits::MAX_RPC_ID_BYTES + 1), Value::Null);
        // Deeper than a parser goes on the stack.
        assert_eq!(Glance::of(format!(r#"{{"id":1,"params":{}"#, "[".repeat(100_000)).as_bytes()), Glance::default());
    }
}
