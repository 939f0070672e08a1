//! A client's connection that neither waits for ever nor hangs up too soon.
//!
//! *A client that does not read*: while hyper cannot write it does not ask the answer's body for more either, so no deadline
//! inside the body can end this; it is held here, where the waiting is.
//!
//! *A client that still sends* when its answer, a refusal, is complete: closing with unread data is a reset, and the client would
//! see that in place of the answer. What it sends is read on for a moment.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use innkeep_gateway::{Crossings, Limit};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection that is being closed is read on. Source: our choice; a client on the same host sends 100 MB in less.
const LINGER: Duration = Duration::from_secs(1);

/// When the answer that is being written must be over, if it must; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerEnd(Arc<Mutex<Option<Instant>>>);

impl AnswerEnd {
    pub(super) fn set(&self, end: Option<Instant>) {
        *self.0.lock() = end;
    }
}

/// Fails a write that has waited for `stall_timeout`, or beyond the answer's end; lingers for [`LINGER`] when it is shut down.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    stall_timeout: Duration,
    answer_end: AnswerEnd,
    /// Where it is counted that one waited for so long.
    crossings: Crossings,
    /// Whether it is that which the timer will tell, and not the answer's end, which counts itself.
    will_stall: bool,
    /// Made at the first wait, then used again.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    lingering: bool,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, stall_timeout: Duration, answer_end: AnswerEnd, crossings: Crossings) -> Self {
        let (will_stall, waiting, lingering) = (false, false, false);
        Self { stream, stall_timeout, answer_end, crossings, will_stall, timer: None, waiting, lingering }
    }

    /// Waits for the first byte and tells whether it is `byte`; none if the client closed without one.
    ///
    /// # Cancel safety
    /// Nothing is read.
    pub(super) async fn begins_with(&self, byte: u8) -> io::Result<Option<bool>> {
        let mut first = [0];
        let n = self.stream.peek(&mut first).await?;
        Ok((n > 0).then_some(first[0] == byte))
    }

    fn pace<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            let stalled = Instant::now() + self.stall_timeout;
            let end = *self.answer_end.0.lock();
            self.will_stall = end.is_none_or(|end| stalled < end);
            self.set_timer(end.map_or(stalled, |end| end.min(stalled)));
        }
        ready!(self.poll_timer(cx));
        if self.will_stall {
            self.crossings.count(Limit::WriteStall);
        }
        // An ordinary close would leave what the client does not take with the kernel, and the client none the wiser.
        self.stream.set_zero_linger()?;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    fn set_timer(&mut self, at: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx))
    }

    /// Reads and forgets until the client has closed too; whatever ends it, the connection is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [MaybeUninit::uninit(); 8192];
        loop {
            let mut forgotten = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut forgotten) {
                Poll::Ready(Ok(())) if !forgotten.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.poll_timer(cx),
            }
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.pace(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.pace(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = true;
            self.set_timer(Instant::now() + LINGER);
        }
        self.poll_linger(cx).map(Ok)
    }
}
