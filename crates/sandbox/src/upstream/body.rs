//! The body of an agent's answer: drives its connection while it is read, and keeps the connection once it was.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::Error;
use super::connection::Connection;
use super::pool::Pool;

/// A piece of an answer that is no larger is copied out of the buffer that it was read into, bytes. One that shares the buffer while it is
/// written makes hyper read into another, of 8 KiB: for an event of a hundred bytes, of each of a thousand streams, on whichever
/// thread has it just then. Source: our choice, half of hyper's buffer; `bench/run --only streams`.
const COPIED_BYTES: usize = 4096;

/// Streams an answer's body as the agent produces it. Reading slowly slows the agent down; dropping it before its end closes
/// the connection.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    /// None once it went back to the pool.
    connection: Option<Connection>,
    pool: Pool,
    ended: bool,
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, connection: Connection, pool: Pool) -> Self {
        Self { incoming, connection: Some(connection), pool, ended: false }
    }

    /// Returns the frame without its hold on the connection's buffer, if that will be read into again and the frame is small.
    fn detached(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if self.incoming.is_end_stream() {
            return frame;
        }
        frame.map_data(|data| if data.len() <= COPIED_BYTES { Bytes::copy_from_slice(&data) } else { data })
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        // Nothing was waiting, but now the connection knows that a frame is wanted.
        if let Some(connection) = &mut self.connection {
            connection.drive(cx);
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(self.poll_incoming(cx));
        self.ended = frame.is_none();
        if let Some(Err(_)) = frame {
            self.connection = None;
        }
        Poll::Ready(frame.map(|frame| frame.map(|frame| self.detached(frame)).map_err(Error::Body)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if self.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.pool.put(connection);
        }
    }
}
