//! What a request wants to be run, and for how long. Source: service model, `InvokeAgentRuntimeCommandRequestBody`.

use std::time::Duration;

use innkeep_types::limits::{COMMAND_TIMEOUT, MAX_COMMAND_BYTES, MAX_COMMAND_TIMEOUT};
use serde_json::Value;

use crate::error::Error;

/// A command that can be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) command: String,
    pub(super) timeout: Duration,
}

impl Asked {
    /// Reads a body. Members that are not known say nothing, as everywhere in the data plane.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Error> {
        let not_json = || Error::field("body", "Member must be a JSON object with a member 'command'".to_owned());
        let body: Value = serde_json::from_slice(body).map_err(|_| not_json())?;
        let body = body.as_object().ok_or_else(not_json)?;
        Ok(Self { command: command(body.get("command"))?, timeout: timeout(body.get("timeout"))? })
    }
}

fn command(given: Option<&Value>) -> Result<String, Error> {
    let rule = match given {
        None | Some(Value::Null) => "Member must not be null".to_owned(),
        Some(Value::String(command)) if command.is_empty() => {
            "Member must have length greater than or equal to 1".to_owned()
        }
        Some(Value::String(command)) if command.len() > MAX_COMMAND_BYTES => {
            format!("Member must have length less than or equal to {MAX_COMMAND_BYTES}")
        }
        // No program can be told one: execve(2) takes strings that end with it.
        Some(Value::String(command)) if command.contains('\0') => "Member must not contain a null character".to_owned(),
        Some(Value::String(command)) => return Ok(command.clone()),
        Some(_) => "Member must be a string".to_owned(),
    };
    Err(Error::field("command", rule))
}

fn timeout(given: Option<&Value>) -> Result<Duration, Error> {
    let most = MAX_COMMAND_TIMEOUT.as_secs();
    let rule = match given {
        None | Some(Value::Null) => return Ok(COMMAND_TIMEOUT),
        Some(Value::Number(seconds)) => match (seconds.as_u64(), seconds.as_i64()) {
            (Some(seconds), _) if (1..=most).contains(&seconds) => return Ok(Duration::from_secs(seconds)),
            (Some(0), _) | (None, Some(_)) => "Member must have value greater than or equal to 1".to_owned(),
            (Some(_), _) => format!("Member must have value less than or equal to {most}"),
            (None, None) => "Member must be an integer".to_owned(),
        },
        Some(_) => "Member must be an integer".to_owned(),
    };
    Err(Error::field("timeout", rule))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, expect: Result<(&str, u64), &str>) {
        let found = Asked::parse(body.as_bytes());
        match expect {
            Ok((command, seconds)) => {
                let timeout = Duration::from_secs(seconds);
                assert_eq!(found.unwrap(), Asked { command: command.to_owned(), timeout }, "{body:.80}");
            }
            Err(words) => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(words), "{body:.80}: {error}");
            }
        }
    }

    #[test]
    fn commands_and_timeouts_are_bounded() {
        check(r#"{"command": "ls -l"}"#, Ok(("ls -l", 300)));
        check(r#"{"command": "ls", "timeout": 1, "more": []}"#, Ok(("ls", 1)));
        check(r#"{"command": "ls", "timeout": 3600}"#, Ok(("ls", 3600)));
        check(r#"{"command": "ls", "timeout": null}"#, Ok(("ls", 300)));
        let longest = "é".repeat(32_768);
        check(&format!(r#"{{"command": "{longest}"}}"#), Ok((&longest, 300)));
        check(
            &format!(r#"{{"command": "{longest}x"}}"#),
            Err("'command' failed to satisfy constraint: Member must have length less than or equal to 65536"),
        );
        check(r#"{"command": ""}"#, Err("length greater than or equal to 1"));
        check(r#"{"command": "a\u0000b"}"#, Err("null character"));
        check(r#"{"command": ["ls"]}"#, Err("'command' failed to satisfy constraint: Member must be a string"));
        check("{}", Err("Member must not be null"));
        for no_object in ["", "[]", "7", "{", "{\"command\": \"ls\"} more"] {
            check(no_object, Err("Member must be a JSON object"));
        }
        for (timeout, words) in [
            ("0", "greater than or equal to 1"),
            ("-1", "greater than or equal to 1"),
            ("3601", "less than or equal to 3600"),
            ("99999999999999999999", "an integer"),
            ("1.5", "an integer"),
            ("\"7\"", "an integer"),
        ] {
            check(&format!(r#"{{"command": "ls", "timeout": {timeout}}}"#), Err(words));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Asked::parse(&body);
        }
    }
}
