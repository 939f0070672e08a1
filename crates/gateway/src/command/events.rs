//! The messages of a command's answer. Source: service model, `InvokeAgentRuntimeCommandStreamOutput`.

use bytes::Bytes;
use innkeep_protocol::event_stream::Message;
use innkeep_types::limits::MAX_COMMAND_EVENT_BYTES;
use serde_json::{Value, json};

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Completed,
    TimedOut,
}

/// What surrounds the text of a delta, `{"contentDelta":{"stdout":""}}`, with room to spare.
const AROUND: usize = 64;

/// Returns the first message.
pub(super) fn start() -> Bytes {
    chunk(&json!({"contentStart": {}}))
}

/// Returns what tells of an output, in as many messages as it takes.
pub(super) fn deltas(output: Output, text: &str) -> impl Iterator<Item = Bytes> {
    let member = match output {
        Output::Stdout => "stdout",
        Output::Stderr => "stderr",
    };
    pieces(text).map(move |piece| chunk(&json!({"contentDelta": {member: piece}})))
}

/// Returns the last message.
pub(super) fn stop(exit_code: i32, status: Status) -> Bytes {
    let status = match status {
        Status::Completed => "COMPLETED",
        Status::TimedOut => "TIMED_OUT",
    };
    chunk(&json!({"contentStop": {"exitCode": exit_code, "status": status}}))
}

/// Returns the last message of a stream whose agent, or session, failed.
pub(super) fn runtime_client_error(message: &str) -> Bytes {
    encode(&Message::exception("runtimeClientError", json!({"message": message}).to_string().into_bytes()))
}

fn chunk(payload: &Value) -> Bytes {
    encode(&Message::event("chunk", payload.to_string().into_bytes()))
}

fn encode(message: &Message) -> Bytes {
    message.encode().expect("it is far below the largest message").into()
}

/// Cuts text into what fits a message each, escapes included.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut room = MAX_COMMAND_EVENT_BYTES - AROUND;
        let is_beyond = |c: char| {
            let left = room.checked_sub(escaped(c));
            room = left.unwrap_or_default();
            left.is_none()
        };
        let (piece, later) = rest.split_at(rest.find(is_beyond).unwrap_or(rest.len()));
        rest = later;
        Some(piece)
    })
}

/// Returns the bytes that a character takes within JSON's quotes, at most.
fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        '\0'..='\x1f' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use innkeep_protocol::event_stream::Decoder;
    use proptest::prelude::*;

    use super::*;

    fn decode(frames: impl IntoIterator<Item = Bytes>) -> Vec<Message> {
        let mut decoder = Decoder::default();
        frames.into_iter().for_each(|frame| decoder.push(&frame));
        std::iter::from_fn(|| decoder.next_message().unwrap()).collect()
    }

    #[test]
    fn messages_are_those_of_the_service() {
        let messages = decode([start(), stop(-1, Status::TimedOut), runtime_client_error("gone")]);
        let [started, stopped, failed] = &messages[..] else { panic!() };
        assert_eq!(started.payload, br#"{"contentStart":{}}"#);
        assert_eq!(started.header(":event-type"), Some("chunk"));
        assert_eq!(stopped.payload, br#"{"contentStop":{"exitCode":-1,"status":"TIMED_OUT"}}"#);
        assert_eq!(failed.header(":exception-type"), Some("runtimeClientError"));
        assert_eq!(failed.payload, br#"{"message":"gone"}"#);
        assert_eq!(deltas(Output::Stdout, "").count(), 0);
    }

    proptest! {
        #[test]
        fn no_message_is_larger_than_one_may_be_and_nothing_is_lost(unit in "[\u{1}-\u{ffff}]{1,20}", n in 0_usize..30_000) {
            let text = unit.repeat(n.min(400_000 / unit.len()));
            let messages = decode(deltas(Output::Stderr, &text));
            let mut all = String::new();
            for message in messages {
                prop_assert!(message.payload.len() <= MAX_COMMAND_EVENT_BYTES, "{}", message.payload.len());
                let payload: Value = serde_json::from_slice(&message.payload).unwrap();
                all.push_str(payload["contentDelta"]["stderr"].as_str().unwrap());
            }
            prop_assert!(all == text);
        }
    }
}
