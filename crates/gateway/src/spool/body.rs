//! A spooled body on its way to the agent.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::PIECE_BYTES;
use super::buffer::{Buffer, Home};
use super::room::Share;

/// A body of known length, from its beginning. One that comes from a file has one buffer: **its next frame comes only when the one
/// before was let go**, which is what hyper does with a frame that it has written.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    left: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    File { stage: Stage, home: Arc<Home>, _share: Share },
}

#[derive(Debug)]
enum Stage {
    /// A piece is being read.
    Reading(JoinHandle<io::Result<(File, Buffer)>>),
    /// A piece is on its way; the file waits for its buffer. None only while one stage becomes the other.
    Lent(Option<File>),
}

impl SpooledBody {
    pub(super) fn from_memory(data: Bytes) -> Self {
        Self { left: data.len() as u64, source: Source::Memory(data) }
    }

    /// Returns the body of `len` bytes in a rewound file; begins to read it.
    pub(super) fn from_file(file: File, len: u64, buffer: Buffer, share: Share) -> Self {
        let stage = Stage::Reading(read(file, len, buffer));
        Self { left: len, source: Source::File { stage, home: Arc::default(), _share: share } }
    }
}

/// Reads the next piece of a file of which `left` bytes are left.
fn read(mut file: File, left: u64, mut buffer: Buffer) -> JoinHandle<io::Result<(File, Buffer)>> {
    let piece_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
    spawn_blocking(move || {
        file.read_exact(buffer.as_space(piece_bytes))?;
        Ok((file, buffer))
    })
}

impl Stage {
    /// Returns the next piece of a file of which `left` bytes are left.
    fn poll_piece(&mut self, left: u64, home: &Arc<Home>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match self {
                Self::Reading(reading) => {
                    let (file, buffer) = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten()?;
                    *self = Self::Lent(Some(file));
                    return Poll::Ready(Ok(home.lend(buffer)));
                }
                Self::Lent(file) => {
                    let buffer = ready!(home.poll_back(cx));
                    let file = file.take().ok_or_else(|| io::Error::other("the file of a body is gone"))?;
                    *self = Self::Reading(read(file, left, buffer));
                }
            }
        }
    }
}

impl Body for SpooledBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { left, source } = &mut *self;
        if *left == 0 {
            return Poll::Ready(None);
        }
        let data = match source {
            Source::Memory(data) => std::mem::take(data),
            Source::File { stage, home, .. } => ready!(stage.poll_piece(*left, home, cx))?,
        };
        *left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
