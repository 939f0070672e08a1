//! Server-sent events, decoded as far as people reading an answer want it.

use innkeep_sdk::LineBuffer;
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A JSON string: a piece of text.
    Text(String),
    /// Any other data.
    Data(String),
    /// The agent's own word that it failed in mid-stream.
    Failed(String),
}

/// Decoder of an event stream that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    lines: LineBuffer,
    name: String,
    data: Option<String>,
}

impl Decoder {
    /// Takes the next piece; returns the events that it completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.lines.push(bytes);
        let mut events = Vec::new();
        while let Some(line) = self.lines.next_line() {
            events.extend(self.line(&String::from_utf8_lossy(&line)));
        }
        events
    }

    /// Returns the last event, if the stream ended without the empty line that should follow it.
    pub(crate) fn finish(&mut self) -> Option<Event> {
        if let Some(line) = self.lines.finish() {
            self.line(&String::from_utf8_lossy(&line));
        }
        self.dispatch()
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.data) {
            ("data", Some(data)) => {
                data.push('\n');
                data.push_str(value);
            }
            ("data", data) => *data = Some(value.to_owned()),
            ("event", _) => value.clone_into(&mut self.name),
            // Ids, retry times and comments steer browsers.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?;
        Some(match serde_json::from_str(&data) {
            Ok(Value::String(text)) if name != "error" => Event::Text(text),
            Ok(value) => match failure(&name, &value) {
                Some(message) => Event::Failed(message),
                None => Event::Data(data),
            },
            Err(_) if name == "error" => Event::Failed(data),
            Err(_) => Event::Data(data),
        })
    }
}

/// Returns the message of an event by which an SDK reports an exception: `event: error`, or an object with `error` and
/// `error_type`. Source: `bedrock-agentcore` for Python and for TypeScript.
fn failure(name: &str, value: &Value) -> Option<String> {
    let message = value.get("error").map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned));
    match (name, value.get("error_type").and_then(Value::as_str)) {
        ("error", _) => Some(message.unwrap_or_else(|| value.to_string())),
        (_, Some(kind)) => message.map(|message| format!("{kind}: {message}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &str, expect: &[Event]) {
        for piece in [1, 7, stream.len()] {
            let mut decoder = Decoder::default();
            let mut events: Vec<_> = stream.as_bytes().chunks(piece).flat_map(|bytes| decoder.push(bytes)).collect();
            events.extend(decoder.finish());
            assert_eq!(events, expect, "in pieces of {piece}");
        }
    }

    #[test]
    fn text_data_and_comments_are_told_apart() {
        let text = |s: &str| Event::Text(s.to_owned());
        let data = |s: &str| Event::Data(s.to_owned());
        check("data: \"Hel\"\n\ndata: \"lo é\"\n\n", &[text("Hel"), text("lo é")]);
        check(": ping\r\ndata: {\"n\": 1}\r\nid: 7\r\n\r\ndata:plain", &[data("{\"n\": 1}"), data("plain")]);
        check("data: a\ndata: b\n\nevent: done\n\n", &[data("a\nb")]);
    }

    #[test]
    fn an_exception_in_mid_stream_is_a_failure() {
        let failed = |s: &str| Event::Failed(s.to_owned());
        let python =
            r#"data: {"error": "boom", "error_type": "ValueError", "message": "An error occurred during streaming"}"#;
        check(python, &[failed("ValueError: boom")]);
        check("event: error\ndata: {\"error\": \"boom\"}\n\n", &[failed("boom")]);
        check(
            "data: {\"error\": \"a word of the agent's own\"}\n\n",
            &[Event::Data("{\"error\": \"a word of the agent's own\"}".to_owned())],
        );
    }
}
