//! The client's end of a terminal: whole messages in, whole messages out, each direction no faster than the other side goes.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use innkeep_protocol::shell::FromShell;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::ws::{Assembler, Due, Message, PING, Pulse, Rules, Sender, Violation, close_frame, hang_up, messages};

/// Read at one time, bytes; lies on the stack. Source: our choice.
const CHUNK: usize = 16 * 1024;

/// From how many bytes that are not written on nothing more is taken to be. Source: our choice.
const ROOM: usize = 64 * 1024;

/// What frames are counted over.
const SECOND: Duration = Duration::from_secs(1);

/// For how long the last frames may travel, and the client may take to hang up. Source: our choice.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client said something.
    Said(Message),
    /// All that there was is written.
    Written,
}

/// Why nothing more is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The client has gone without a word, or does not answer.
    Gone,
    /// What it says next is none.
    Refused(Violation),
    /// It takes nothing.
    Stalled,
}

#[derive(Debug)]
pub(crate) struct Socket<S> {
    io: S,
    assembler: Assembler,
    rules: Rules,
    /// Since when frames are counted.
    second: Option<Instant>,
    unwritten: Vec<u8>,
    /// Of it, so much is written.
    written: usize,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    pulse: Pulse,
    is_closed: bool,
}

impl<S: Read + Write + Unpin> Socket<S> {
    pub(crate) fn new(io: S, rules: Rules) -> Self {
        Self {
            io,
            assembler: Assembler::new(rules.max_frame_bytes),
            rules,
            second: None,
            unwritten: Vec::new(),
            written: 0,
            stall: None,
            pulse: Pulse::new(rules.ping_interval),
            is_closed: false,
        }
    }

    /// Tells whether more may be said now.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten.len() - self.written < ROOM
    }

    /// Says something, as soon as that goes.
    pub(crate) fn say(&mut self, what: &FromShell<'_>) {
        self.put(&messages::binary(&what.to_message()));
    }

    /// Answers a ping.
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        self.put(&messages::pong(payload));
    }

    fn put(&mut self, frame: &[u8]) {
        self.unwritten.extend_from_slice(frame);
    }

    /// Waits until something happens. Nothing is heard unless it `listens`.
    ///
    /// # Cancel safety
    /// Safe: what has come, and what is not written, is kept.
    pub(crate) async fn turn(&mut self, listens: bool) -> Result<Turn, Stop> {
        poll_fn(|cx| {
            if !self.unwritten.is_empty()
                && let Poll::Ready(written) = self.poll_write(cx)
            {
                return Poll::Ready(written.map(|()| Turn::Written));
            }
            if !listens {
                // Its answer would not be heard.
                self.pulse.put_off();
                return Poll::Pending;
            }
            if let Poll::Ready(heard) = self.poll_hear(cx) {
                return Poll::Ready(heard.map(Turn::Said));
            }
            self.poll_pulse(cx).map(Err)
        })
        .await
    }

    /// Writes what is left, says why it ends, and waits for a moment until the client has hung up.
    pub(crate) async fn finish(mut self, code: u16, reason: &str) {
        self.put(&close_frame(Sender::Client, code, reason));
        let written = timeout(LAST_WORDS, poll_fn(|cx| self.poll_write(cx))).await;
        if matches!(written, Ok(Ok(()))) {
            let _ = timeout(LAST_WORDS, hang_up(&mut self.io)).await;
        }
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Stop>> {
        loop {
            match self.assembler.take() {
                Ok(Some(message)) => {
                    self.is_closed |= message == Message::Close;
                    return Poll::Ready(Ok(message));
                }
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Err(Stop::Refused(violation))),
            }
            let mut scratch = [MaybeUninit::uninit(); CHUNK];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            let arrived = ready!(Pin::new(&mut self.io).poll_read(cx, buffer.unfilled()));
            if arrived.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Err(Stop::Gone));
            }
            self.count();
            self.assembler.add(buffer.filled());
        }
    }

    /// Asks a client who is silent whether it is there. Ready: it is not.
    fn poll_pulse(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        while let Due::Ping = ready!(self.pulse.poll(cx)) {
            // Whether it takes what is on its way, its stall tells.
            if !self.unwritten.is_empty() {
                self.pulse.put_off();
                continue;
            }
            self.put(&messages::ping(PING));
            match self.poll_write(cx) {
                Poll::Ready(Err(stop)) => return Poll::Ready(stop),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        Poll::Ready(Stop::Gone)
    }

    fn count(&mut self) {
        let now = Instant::now();
        self.pulse.heard(now);
        if self.second.is_none_or(|since| now.duration_since(since) >= SECOND) {
            self.second = Some(now);
            self.assembler.allow(self.rules.max_frames_per_second);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        while let Some(rest) = self.unwritten.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Ready(written) => {
                    self.written += taken(written)?;
                    self.stall = None;
                }
                Poll::Pending => return self.poll_stall(cx),
            }
        }
        // TLS keeps what the connection did not take.
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map_err(|_| Stop::Gone)?,
            Poll::Pending => return self.poll_stall(cx),
        }
        self.stall = None;
        (self.unwritten, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let patience = self.rules.stall_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(Stop::Stalled))
    }
}

/// Returns how many bytes were taken. What takes none, fails, whichever way it says so.
fn taken(written: io::Result<usize>) -> Result<usize, Stop> {
    written.ok().filter(|n| *n > 0).ok_or(Stop::Gone)
}
