//! The one buffer of a body: all of it while it is small, and afterwards what it goes through, to the file and from there on to
//! the agent. Made once and used for every piece: what a body takes does not depend on its length, nor on what the allocator
//! makes of many short-lived large blocks.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::room::{Room, Share};

/// What every body may have in memory, whatever the others have: as much as its connection costs anyway. Bytes.
pub(super) const FREE_BYTES: usize = 64 << 10;

/// Bytes, and the share of all memory that they hold.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    share: Share,
}

impl Buffer {
    /// Returns an empty buffer for about so many bytes.
    pub(super) fn new(room: &Arc<Room>, expected: usize) -> Self {
        Self { bytes: Vec::with_capacity(expected.min(FREE_BYTES)), share: Share::of(room) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the beginning of `data` in: as much as makes `most` in all, or as there is memory for.
    pub(super) fn fill(&mut self, data: &mut Bytes, most: usize) {
        let len = self.bytes.len();
        let wanted = len.saturating_add(data.len()).min(most);
        let granted = if wanted <= FREE_BYTES || self.share.try_reach(wanted as u64) {
            wanted
        } else {
            usize::try_from(self.share.bytes()).unwrap_or(usize::MAX).max(FREE_BYTES).min(wanted)
        };
        let taken = data.split_to(granted.saturating_sub(len).min(data.len()));
        if self.bytes.capacity() < len + taken.len() {
            self.bytes.reserve_exact(granted.next_power_of_two().min(most) - len);
        }
        self.bytes.extend_from_slice(&taken);
    }

    /// Empties it, and keeps memory for pieces of at most so many bytes.
    pub(super) fn reset(&mut self, piece_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(piece_bytes);
        self.share.shrink_to(piece_bytes as u64);
    }

    /// Returns it as so many bytes, to be overwritten; as many as it has memory for if that is less.
    pub(super) fn as_space(&mut self, wanted: usize) -> &mut [u8] {
        self.bytes.resize(wanted.min(self.bytes.capacity().max(FREE_BYTES)), 0);
        &mut self.bytes
    }

    /// Returns its bytes for good.
    pub(super) fn into_bytes(self) -> Bytes {
        self.share.over(self.bytes)
    }
}

/// Where a buffer comes back to that was given away as [`Bytes`].
#[derive(Debug, Default)]
pub(super) struct Home(Mutex<Place>);

#[derive(Debug, Default)]
struct Place {
    buffer: Option<Buffer>,
    waiting: Option<Waker>,
}

impl Home {
    /// Returns the buffer's bytes; when the last part of them is let go, it is back here.
    pub(super) fn lend(self: &Arc<Self>, buffer: Buffer) -> Bytes {
        Bytes::from_owner(Lent { buffer: Some(buffer), home: Arc::clone(self) })
    }

    /// Returns the buffer once it is back.
    pub(super) fn poll_back(&self, cx: &mut Context<'_>) -> Poll<Buffer> {
        let mut place = self.0.lock();
        match place.buffer.take() {
            Some(buffer) => Poll::Ready(buffer),
            None => {
                place.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

struct Lent {
    /// None only once it was dropped.
    buffer: Option<Buffer>,
    home: Arc<Home>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], Buffer::bytes)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let waiting = {
            let mut place = self.home.0.lock();
            place.buffer = self.buffer.take();
            place.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
