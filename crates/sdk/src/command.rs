//! The data plane: InvokeAgentRuntimeCommand, a shell's command beside an agent.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use innkeep_protocol::event_stream::{self, Decoder, Message};
use innkeep_protocol::headers;
use innkeep_types::{EndpointName, RuntimeId, SessionId};
use serde::Deserialize;
use serde_json::json;

use crate::body::Payload;
use crate::client::{Call, Client};
use crate::connection::ResponseBody;
use crate::error::Error;
use crate::invoke::session_value;

/// One InvokeAgentRuntimeCommand.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// Of which endpoint, the *qualifier*.
    pub endpoint: EndpointName,
    /// In which session; started if it has no sandbox.
    pub session: SessionId,
    /// What the shell reads.
    pub command: String,
    /// When it is killed, from its start, 1 to 3600 s; none: the server's default.
    pub timeout: Option<Duration>,
    /// Further headers, but for the session. With `Authorization`, a token's, nothing is signed.
    pub headers: HeaderMap,
    /// To the head of the answer: a session may have to be started.
    pub patience: Duration,
}

/// A command that runs. Dropping it kills the command.
#[derive(Debug)]
pub struct RunningCommand {
    body: ResponseBody,
    decoder: Decoder,
}

/// What a command says, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEvent {
    /// It runs.
    Started,
    /// It has written this to its standard output.
    Stdout(String),
    /// It has written this to its standard error.
    Stderr(String),
    /// It has ended with this status: the last event.
    Exited(i32),
    /// It was killed when its time was over: the last event.
    TimedOut,
    /// It could not be followed to its end; why, for people. The last event.
    Failed(String),
}

/// Source: service model, `InvokeAgentRuntimeCommandStreamOutput`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Chunk {
    content_start: Option<serde::de::IgnoredAny>,
    content_delta: Option<Delta>,
    content_stop: Option<Stop>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    stdout: Option<String>,
    stderr: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    exit_code: i32,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exception {
    message: String,
}

impl Client {
    /// Runs a command beside an agent; returns once it runs.
    ///
    /// # Errors
    /// [`Error::Service`] if it could not be started.
    pub async fn run_command(&self, request: CommandRequest) -> Result<RunningCommand, Error> {
        let CommandRequest { runtime, endpoint, session, command, timeout, headers: extra, patience } = request;
        let mut body = json!({"command": command});
        if let Some(timeout) = timeout {
            body["timeout"] = timeout.as_secs().into();
        }
        let mut call = Call::new(Method::POST, self.session_target(&runtime, &endpoint, "commands"));
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call.headers.insert(ACCEPT, HeaderValue::from_static(event_stream::MEDIA_TYPE));
        call.headers.extend(extra);
        call.headers.insert(headers::SESSION_ID, session_value(&session)?);
        call.payload = Payload::Bytes(Bytes::from(body.to_string()));
        call.timeout = patience;
        let body = self.send(call).await?.into_body();
        Ok(RunningCommand { body, decoder: Decoder::default() })
    }
}

impl RunningCommand {
    /// Returns what happens next; none after the last event.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped and called again.
    ///
    /// # Errors
    /// [`Error::EventStream`] if what comes is no stream of events, and [`Error::BrokenOff`].
    pub async fn next(&mut self) -> Result<Option<CommandEvent>, Error> {
        loop {
            if let Some(message) = self.decoder.next_message().map_err(Error::EventStream)? {
                return read(&message).map(Some);
            }
            match self.body.chunk().await? {
                Some(chunk) => self.decoder.push(&chunk),
                None => return Ok(None),
            }
        }
    }
}

fn read(message: &Message) -> Result<CommandEvent, Error> {
    if message.header(":message-type") != Some("event") {
        let exception: Exception = serde_json::from_slice(&message.payload).map_err(Error::Decode)?;
        return Ok(CommandEvent::Failed(exception.message));
    }
    let chunk: Chunk = serde_json::from_slice(&message.payload).map_err(Error::Decode)?;
    Ok(match chunk {
        Chunk { content_stop: Some(stop), .. } if stop.status == "TIMED_OUT" => CommandEvent::TimedOut,
        Chunk { content_stop: Some(stop), .. } => CommandEvent::Exited(stop.exit_code),
        Chunk { content_delta: Some(Delta { stderr: Some(text), .. }), .. } => CommandEvent::Stderr(text),
        Chunk { content_delta: Some(Delta { stdout, .. }), .. } => CommandEvent::Stdout(stdout.unwrap_or_default()),
        Chunk { .. } => CommandEvent::Started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_what_the_model_says() {
        let event = |payload: &str| read(&Message::event("chunk", payload.as_bytes().to_vec())).unwrap();
        assert_eq!(event(r#"{"contentStart":{}}"#), CommandEvent::Started);
        assert_eq!(event(r#"{"contentDelta":{"stdout":"a"}}"#), CommandEvent::Stdout("a".to_owned()));
        assert_eq!(event(r#"{"contentDelta":{"stderr":"a"}}"#), CommandEvent::Stderr("a".to_owned()));
        assert_eq!(event(r#"{"contentStop":{"exitCode":3,"status":"COMPLETED"}}"#), CommandEvent::Exited(3));
        assert_eq!(event(r#"{"contentStop":{"exitCode":-1,"status":"TIMED_OUT"}}"#), CommandEvent::TimedOut);
        let failed = Message::exception("runtimeClientError", br#"{"message":"gone"}"#.to_vec());
        assert_eq!(read(&failed).unwrap(), CommandEvent::Failed("gone".to_owned()));
        assert!(read(&Message::event("chunk", b"7".to_vec())).is_err());
    }
}
