//! What an agent answers to `GET /ping`. Source: AgentCore developer guide and service model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A ready agent's own word about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PingStatus {
    /// Nothing is going on besides open requests.
    Healthy,
    /// Background work is going on: the session must not idle out.
    HealthyBusy,
}

/// A good answer: status 200 and what its body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The agent's state.
    pub status: PingStatus,
    /// Unix seconds of the last change of status, if the agent says.
    pub time_of_last_update: Option<i64>,
}

/// The most of a ping's body that is read, bytes. Source: our choice; the SDK's is 60.
pub const MAX_PING_BODY: usize = 4096;

impl Ping {
    /// Returns what the body of a 200 says. Any body will do: one that is no JSON, or names no known status, is `Healthy`
    /// without a time, because status 200 is what the contract asks for and published agents answer `OK` or `{}`.
    pub fn parse(body: &[u8]) -> Self {
        let healthy = Self { status: PingStatus::Healthy, time_of_last_update: None };
        // Not into a struct: serde would read one from an array, too.
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return healthy };
        let status = match body.get("status").and_then(Value::as_str) {
            Some("HealthyBusy") => PingStatus::HealthyBusy,
            _ => PingStatus::Healthy,
        };
        let time = body.get("time_of_last_update");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "float to int casts saturate; a date this far off is ignored"
        )]
        let time = time.and_then(|time| time.as_i64().or_else(|| time.as_f64().map(|f| f as i64)));
        Self { status, time_of_last_update: time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_200_is_healthy_and_only_the_exact_word_is_busy() {
        let healthy = Ping { status: PingStatus::Healthy, time_of_last_update: None };
        for body in ["", "OK", "[]", "{}", r#"{"status":"healthy"}"#, r#"{"status":7}"#, r#"["HealthyBusy",1]"#] {
            assert_eq!(Ping::parse(body.as_bytes()), healthy, "{body}");
        }
        let busy = Ping::parse(br#"{"status":"HealthyBusy","time_of_last_update":1763600000}"#);
        assert_eq!(busy, Ping { status: PingStatus::HealthyBusy, time_of_last_update: Some(1_763_600_000) });
        assert_eq!(Ping::parse(br#"{"status":"Healthy","time_of_last_update":1.9}"#).time_of_last_update, Some(1));
    }
}
