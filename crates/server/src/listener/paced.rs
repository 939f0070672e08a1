//! A client's connection that does not wait for ever for a client that does not read.
//!
//! While hyper cannot write it does not ask the answer's body for more either, so no deadline inside the body can end this: it
//! is held here, where the waiting is.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// When the answer that is being written must be over, if it must; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerEnd(Arc<Mutex<Option<Instant>>>);

impl AnswerEnd {
    pub(super) fn set(&self, end: Option<Instant>) {
        *self.0.lock() = end;
    }
}

/// Fails a write that has waited for `stall_timeout`, or beyond the answer's end.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    stall_timeout: Duration,
    answer_end: AnswerEnd,
    /// Made at the first wait, then used again.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, stall_timeout: Duration, answer_end: AnswerEnd) -> Self {
        Self { stream, stall_timeout, answer_end, timer: None, waiting: false }
    }

    fn pace<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now())));
        if !self.waiting {
            self.waiting = true;
            let stalled = Instant::now() + self.stall_timeout;
            let end = *self.answer_end.0.lock();
            timer.as_mut().reset(end.map_or(stalled, |end| end.min(stalled)));
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
