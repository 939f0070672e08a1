//! Both directions of a WebSocket, and how they end: each side gets a close frame that says why, where a frame may be put in.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use tokio::time::{Sleep, sleep, timeout};

use super::flow::{Flow, Rules, Stop};
use super::frames::{Sender, Violation};
use super::messages;
use super::pulse::{Due, PING, Pulse};

/// From a close frame to the end of the connection. Source: our choice; what servers and clients commonly wait.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// For how long the last frames may travel, and what a side still sends is read on: closing with unread data is a reset, which it would
/// see in place of the close frame. Source: our choice.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a WebSocket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// One side closed, and the other agreed.
    Closed,
    ClientGone,
    AgentGone,
    Refused(Sender, Violation),
    /// That side takes nothing.
    Stalled(Sender),
    /// It was open as long as it may.
    TooLong,
    /// The session was ended.
    SessionEnded(&'static str),
    Shutdown,
}

/// A close frame's code and reason.
type Close = (u16, String);

impl End {
    /// Returns what the client is told, and what the agent is. Source: RFC 6455, section 7.4.1; AgentCore developer guide.
    fn closes(&self) -> (Close, Close) {
        let away = (1001, "the client has gone".to_owned());
        match self {
            // Who has closed already is told nothing more.
            Self::Closed => ((1000, String::new()), (1000, String::new())),
            Self::ClientGone | Self::Stalled(Sender::Client) => (away.clone(), away),
            Self::AgentGone => ((1011, "the agent has gone".to_owned()), away),
            Self::Stalled(Sender::Agent) => ((1011, "the agent does not read".to_owned()), away),
            Self::Refused(Sender::Client, violation) => ((violation.close_code(), violation.to_string()), away),
            Self::Refused(Sender::Agent, violation) => (
                (1011, format!("the agent broke a rule: {violation}")),
                (violation.close_code(), violation.to_string()),
            ),
            Self::TooLong => {
                let why = "the connection was open as long as it may be";
                ((1008, why.to_owned()), (1001, why.to_owned()))
            }
            Self::SessionEnded(why) => {
                let close = (1001, format!("the session has ended: {why}"));
                (close.clone(), close)
            }
            Self::Shutdown => {
                let close = (1001, "the server is shutting down".to_owned());
                (close.clone(), close)
            }
        }
    }
}

/// Two connections, and what passes between them.
#[derive(Debug)]
pub(crate) struct Pipe<C, A> {
    client: C,
    agent: A,
    /// From the client to the agent.
    up: Flow,
    down: Flow,
    is_up_over: bool,
    /// The client's. An agent is looked after otherwise.
    pulse: Pulse,
    /// Runs once a side has closed.
    closing: Option<Pin<Box<Sleep>>>,
}

impl<C: Read + Write + Unpin, A: Read + Write + Unpin> Pipe<C, A> {
    pub(crate) fn new(client: C, agent: A, rules: Rules) -> Self {
        let (up, down) = (Flow::new(Sender::Client, rules), Flow::new(Sender::Agent, rules));
        Self { client, agent, up, down, is_up_over: false, pulse: Pulse::new(rules.ping_interval), closing: None }
    }

    /// Lets frames pass until nothing more is to be passed.
    ///
    /// # Cancel safety
    /// Safe: what has passed is remembered here.
    pub(crate) async fn pass(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !self.is_up_over
            && let Poll::Ready(stop) = self.up.poll(cx, &mut self.client, &mut self.agent)
        {
            match stop {
                // The agent's close frame may still come, and what it had to say before.
                Stop::Closed => self.is_up_over = true,
                Stop::Gone if self.down.is_closed() => return Poll::Ready(End::Closed),
                Stop::Gone => return Poll::Ready(End::ClientGone),
                // Its last words are read below.
                Stop::Lost => self.is_up_over = true,
                Stop::Stalled => return Poll::Ready(End::Stalled(Sender::Agent)),
                Stop::Refused(violation) => return Poll::Ready(End::Refused(Sender::Client, violation)),
            }
        }
        if let Poll::Ready(()) = self.poll_pulse(cx) {
            return Poll::Ready(End::ClientGone);
        }
        if let Poll::Ready(stop) = self.down.poll(cx, &mut self.agent, &mut self.client) {
            return Poll::Ready(match stop {
                Stop::Closed => End::Closed,
                Stop::Gone => End::AgentGone,
                Stop::Lost if self.up.is_closed() || self.down.is_closed() => End::Closed,
                Stop::Lost => End::ClientGone,
                Stop::Stalled => End::Stalled(Sender::Client),
                Stop::Refused(violation) => End::Refused(Sender::Agent, violation),
            });
        }
        if self.up.is_closed() || self.down.is_closed() {
            let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSE_TIME)));
            return closing.as_mut().poll(cx).map(|()| End::Closed);
        }
        Poll::Pending
    }

    /// Asks a client who is silent whether it is there. Ready: it is not.
    fn poll_pulse(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_up_over || self.up.is_closed() || self.down.is_closed() {
            return Poll::Pending;
        }
        if let Some(at) = self.up.heard() {
            self.pulse.heard(at);
        }
        if self.up.is_held_back() {
            // Its answer would not be heard.
            self.pulse.put_off();
        }
        while let Due::Ping = ready!(self.pulse.poll(cx)) {
            // It is busy with a frame of the agent's: whether it takes that, its stall tells.
            if self.up.is_held_back() || !self.down.put_in(&messages::ping(PING)) {
                self.pulse.put_off();
            } else {
                self.up.keep_answers();
            }
        }
        Poll::Ready(())
    }

    /// Tells both sides why it ends, and waits for a moment until they have hung up.
    pub(crate) async fn finish(self, end: &End) {
        let Self { mut client, mut agent, mut up, mut down, .. } = self;
        let ((to_client, why_client), (to_agent, why_agent)) = end.closes();
        let _ = timeout(LAST_WORDS, async {
            // First the client's: what the agent is still saying ends with a whole frame.
            if !matches!(end, End::ClientGone | End::Stalled(Sender::Client)) {
                down.end(&mut agent, &mut client, Sender::Client, to_client, &why_client).await;
            }
            if !matches!(end, End::AgentGone | End::Stalled(Sender::Agent)) {
                // What the client is in the middle of saying stays unsaid.
                up.end(&mut Nothing, &mut agent, Sender::Agent, to_agent, &why_agent).await;
            }
        })
        .await;
        let _ = timeout(LAST_WORDS, async {
            tokio::join!(hang_up(&mut client), hang_up(&mut agent));
        })
        .await;
    }
}

/// Says that nothing more is sent, and reads until the other side says so too.
pub(crate) async fn hang_up<S: Read + Write + Unpin>(stream: &mut S) {
    let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
    poll_fn(|cx| {
        loop {
            let mut scratch = [MaybeUninit::uninit(); 4096];
            let mut forgotten = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, forgotten.unfilled()) {
                Poll::Ready(Ok(())) if !forgotten.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// A sender of whom nothing more is heard.
#[derive(Debug)]
struct Nothing;

impl Read for Nothing {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
