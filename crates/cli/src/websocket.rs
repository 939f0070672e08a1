//! `innkeep invoke --ws`: a conversation in messages; what is said comes from the command line or, line by line, from standard input.

use std::io::BufRead;
use std::time::Duration;

use bytes::Bytes;
use innkeep_sdk::{Client, Invocation, Message, WebSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::failure::{Code, Failure};
use crate::output::{Output, Style};

/// Between two lines: servers count the messages of a second. Source: AgentCore quotas, "250 frames/s".
const PACE: Duration = Duration::from_millis(5);

/// A conversation to be held. Of the invocation, the payload is not used.
pub(crate) struct Conversation {
    pub(crate) invocation: Invocation,
    /// The one thing to say; none: the lines of standard input.
    pub(crate) to_say: Option<Bytes>,
    /// How long the agent may be silent after the last was said.
    pub(crate) wait: Duration,
}

impl Conversation {
    /// Talks until one side hangs up.
    pub(crate) async fn hold(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Invocation { runtime, endpoint, session, headers, timeout, .. } = self.invocation;
        let mut lines = match self.to_say {
            Some(text) => single(&text)?,
            None => standard_input(),
        };
        let mut socket = client.open_websocket(&runtime, &endpoint, &session, headers, timeout).await?;
        out.note(out.err(Style::Dim, &format!("session {session}")));
        // None while there is more to say.
        let mut silence = None;
        loop {
            let is_over = sleep_until(silence.unwrap_or_else(Instant::now));
            let message = tokio::select! {
                line = lines.recv(), if silence.is_none() => {
                    match line {
                        Some(line) => {
                            socket.send(&line?).await?;
                            sleep(PACE).await;
                        }
                        None => silence = Some(Instant::now() + self.wait),
                    }
                    continue;
                }
                message = socket.next() => message?,
                () = is_over, if silence.is_some() => return hang_up(socket, out).await,
            };
            silence = silence.map(|_| Instant::now() + self.wait);
            if let Some((code, reason)) = hear(&mut socket, out, message).await? {
                return ended(code, &reason);
            }
        }
    }
}

/// Prints what was said; returns code and reason if it was the last.
async fn hear(socket: &mut WebSocket, out: Output, message: Message) -> Result<Option<(u16, String)>, Failure> {
    match message {
        Message::Text(text) => out.data(text)?,
        Message::Binary(bytes) => out.bytes(&bytes)?,
        Message::Ping(payload) => socket.pong(&payload).await?,
        Message::Close(code, reason) => return Ok(Some((code, reason))),
    }
    Ok(None)
}

/// Says goodbye, and prints what the agent still says until it does so too.
async fn hang_up(mut socket: WebSocket, out: Output) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(2);
    socket.close().await?;
    let last_words = async {
        loop {
            let message = socket.next().await?;
            if hear(&mut socket, out, message).await?.is_some() {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, last_words).await.unwrap_or(Ok(()))
}

/// Source: RFC 6455, section 7.4.1: done, and without a code.
fn ended(code: u16, reason: &str) -> Result<(), Failure> {
    if matches!(code, 1000 | 1005) {
        return Ok(());
    }
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let said = if code == 1006 { "without a word".to_owned() } else { format!("with code {code}{reason}") };
    Err(Failure::new(Code::AgentFailed, format!("the WebSocket was closed {said}")))
}

type Lines = mpsc::Receiver<Result<String, Failure>>;

fn single(text: &[u8]) -> Result<Lines, Failure> {
    let text = std::str::from_utf8(text).map_err(|_| Failure::usage("--ws sends text, and this is not UTF-8"))?;
    let (say, lines) = mpsc::channel(1);
    // There is room for one.
    let _ = say.try_send(Ok(text.to_owned()));
    Ok(lines)
}

/// Returns the lines of standard input as they come. A full channel holds the reader back.
fn standard_input() -> Lines {
    let (say, lines) = mpsc::channel(16);
    // A thread of its own, which no runtime waits for: nothing ends a read of a terminal.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::io("cannot read standard input", &error));
            let is_last = line.is_err();
            if say.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_unless_it_is_a_good_one() {
        assert!(ended(1000, "bye").is_ok() && ended(1005, "").is_ok());
        assert_eq!(ended(1011, "").unwrap_err().message, "the WebSocket was closed with code 1011");
        assert_eq!(ended(1001, "stopped").unwrap_err().message, "the WebSocket was closed with code 1001: stopped");
        assert_eq!(ended(1006, "").unwrap_err().message, "the WebSocket was closed without a word");
    }
}
