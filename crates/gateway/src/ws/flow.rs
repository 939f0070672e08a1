//! One direction of a WebSocket: reads what its sender sends, lets pass what may, writes it to its receiver. Between two reads it
//! holds no buffer: only what its receiver did not take at once is kept, and then nothing more is read.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use innkeep_types::limits;
use tokio::time::{Instant, Sleep, sleep};

use super::frames::{self, Answer, Follower, Next, Sender, Violation};
use super::pulse::PING;
use crate::config::Limits;

/// Read at one time, bytes; lies on the stack. Source: our choice.
const CHUNK: usize = 16 * 1024;

/// What frames are measured over.
const SECOND: Duration = Duration::from_secs(1);

/// What one direction may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The payload of one frame, bytes.
    pub(crate) max_frame_bytes: u64,
    /// How many begin within a second.
    pub(crate) max_frames_per_second: u32,
    /// How long the receiver may take nothing.
    pub(crate) stall_timeout: Duration,
    /// How long a client may be silent before it is asked whether it is there, and then once more.
    pub(crate) ping_interval: Duration,
}

impl Rules {
    /// Returns those of a connection that its client may stall for `stall_timeout`.
    pub(crate) fn new(limits: &Limits, stall_timeout: Duration) -> Self {
        Self {
            max_frame_bytes: limits.max_frame_bytes,
            max_frames_per_second: limits.max_frames_per_second,
            stall_timeout,
            ping_interval: limits::CLIENT_PING_INTERVAL,
        }
    }
}

/// Why nothing more passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The sender has closed, after a close frame.
    Closed,
    /// The sender has gone without one.
    Gone,
    /// What the sender sends next must not pass.
    Refused(Violation),
    /// The receiver takes nothing.
    Stalled,
    /// The receiver has gone.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Flow {
    follower: Follower,
    rules: Rules,
    /// Since when frames are counted.
    second: Option<Instant>,
    /// When something came last.
    heard: Option<Instant>,
    /// The beginning of a header, which has not passed.
    held: Vec<u8>,
    /// What has passed and is not written; of it, so much is.
    unwritten: Vec<u8>,
    written: usize,
    /// Runs while the receiver takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    is_ending: bool,
    keeps_answers: bool,
}

impl Flow {
    pub(crate) fn new(sender: Sender, rules: Rules) -> Self {
        Self {
            follower: Follower::new(sender, rules.max_frame_bytes),
            rules,
            second: None,
            heard: None,
            held: Vec::new(),
            unwritten: Vec::new(),
            written: 0,
            stall: None,
            is_ending: false,
            keeps_answers: false,
        }
    }

    /// Tells whether the sender's close frame has passed.
    pub(crate) fn is_closed(&self) -> bool {
        self.follower.is_closed()
    }

    /// Returns when the sender said something last.
    pub(crate) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Tells whether the receiver has not taken all that has passed: then the sender is not listened to.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Keeps the answers to our pings from the receiver, who has not asked.
    pub(crate) fn keep_answers(&mut self) {
        self.follower.set_pongs_apart();
        self.keeps_answers = true;
    }

    /// Puts in a frame of ours, if one can be; it is written with what passes next.
    pub(crate) fn put_in(&mut self, frame: &[u8]) -> bool {
        let has_room = self.follower.is_between_frames() && !self.follower.is_closed() && !self.is_held_back();
        if has_room {
            self.unwritten.extend_from_slice(frame);
        }
        has_room
    }

    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.held.capacity() + self.unwritten.capacity()
    }

    /// Moves bytes until one side is not ready, or it is over.
    pub(crate) fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Stop>
    where
        R: Read + Unpin,
        W: Write + Unpin,
    {
        loop {
            if let Err(stop) = ready!(self.poll_write(cx, to)) {
                return Poll::Ready(stop);
            }
            let mut scratch = [MaybeUninit::uninit(); CHUNK];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            buffer.unfilled().put_slice(&self.held);
            let arrived = ready!(Pin::new(&mut *from).poll_read(cx, buffer.unfilled()));
            let bytes = buffer.filled();
            if arrived.is_err() || bytes.len() == self.held.len() {
                return Poll::Ready(if self.is_closed() { Stop::Closed } else { Stop::Gone });
            }
            self.held.clear();
            if let Err(stop) = self.pass(cx, bytes, to) {
                return Poll::Ready(stop);
            }
        }
    }

    /// Lets what may pass do so to the end of the frame that is passing, and then puts in a close frame. Nothing is put in after a
    /// close frame, nor if the frame that is passing is broken off.
    pub(crate) async fn end<R, W>(&mut self, from: &mut R, to: &mut W, receiver: Sender, code: u16, reason: &str)
    where
        R: Read + Unpin,
        W: Write + Unpin,
    {
        self.is_ending = true;
        self.follower.allow(0);
        std::future::poll_fn(|cx| {
            if self.follower.is_between_frames() {
                return Poll::Ready(());
            }
            let polled = self.poll(cx, from, to);
            if polled.is_ready() || self.follower.is_between_frames() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if self.follower.is_between_frames() && !self.follower.is_closed() {
            self.unwritten.extend(frames::close(receiver, code, reason));
        }
        // Whether it is taken or not, that was the last of it.
        let _ = std::future::poll_fn(|cx| self.poll_write(cx, to)).await;
    }

    fn pass<W: Write + Unpin>(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: &mut W) -> Result<(), Stop> {
        self.count();
        let mut rest = bytes;
        loop {
            if self.keeps_answers {
                match self.follower.answer(rest, PING) {
                    Answer::None => {}
                    Answer::Partly => {
                        self.held.extend_from_slice(rest);
                        return Ok(());
                    }
                    Answer::Whole(bytes) => {
                        rest = rest.get(bytes..).unwrap_or_default();
                        continue;
                    }
                }
            }
            match self.follower.next(rest) {
                Next::Pass { bytes, .. } => {
                    let (passes, later) = rest.split_at(bytes.min(rest.len()));
                    self.write(cx, passes, to)?;
                    rest = later;
                }
                Next::Wait => {
                    self.held.extend_from_slice(rest);
                    return Ok(());
                }
                Next::Refuse(violation) => return Err(Stop::Refused(violation)),
            }
        }
    }

    fn count(&mut self) {
        let now = Instant::now();
        self.heard = Some(now);
        let is_over = self.second.is_none_or(|since| now.duration_since(since) >= SECOND);
        if is_over && !self.is_ending {
            self.second = Some(now);
            self.follower.allow(self.rules.max_frames_per_second);
        }
    }

    /// Writes as much as goes, and keeps the rest.
    fn write<W: Write + Unpin>(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: &mut W) -> Result<(), Stop> {
        let mut rest = bytes;
        while self.unwritten.is_empty() && !rest.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, rest) {
                Poll::Ready(written) => rest = rest.get(taken(written)?..).unwrap_or_default(),
                Poll::Pending => break,
            }
        }
        self.unwritten.extend_from_slice(rest);
        Ok(())
    }

    fn poll_write<W: Write + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<Result<(), Stop>> {
        while let Some(rest) = self.unwritten.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *to).poll_write(cx, rest) {
                Poll::Ready(written) => self.written += taken(written)?,
                Poll::Pending => {
                    let patience = self.rules.stall_timeout;
                    let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(stall.as_mut().poll(cx));
                    return Poll::Ready(Err(Stop::Stalled));
                }
            }
            self.stall = None;
        }
        (self.unwritten, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

/// Returns how many bytes were taken. What takes none, fails, whichever way it says so.
fn taken(written: io::Result<usize>) -> Result<usize, Stop> {
    written.ok().filter(|n| *n > 0).ok_or(Stop::Lost)
}
