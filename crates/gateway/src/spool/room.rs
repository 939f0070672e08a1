//! What all requests' bodies may take together, in memory and on disk, and what one of them holds of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// What all requests may take together.
#[derive(Debug)]
pub(crate) struct Room {
    used: AtomicU64,
    total: u64,
}

/// Bytes of a room that one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), total })
    }

    /// Returns how much of it is taken, bytes.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Share {
    pub(crate) fn of(room: &Arc<Room>) -> Self {
        Self { room: room.clone(), bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows by so many bytes; false, and as it was, if there is no room for them.
    pub(crate) fn try_grow(&mut self, bytes: u64) -> bool {
        let room = &self.room;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= room.total);
        let grown = room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Grows to so many bytes, unless it has them already.
    pub(crate) fn try_reach(&mut self, bytes: u64) -> bool {
        self.try_grow(bytes.saturating_sub(self.bytes))
    }

    /// Gives back what is beyond so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.room.used.fetch_sub(excess, Ordering::Relaxed);
    }

    /// Ties the share to the data that it is for: the last to let go of a part of it gives all back.
    pub(crate) fn over(self, data: Vec<u8>) -> Bytes {
        if self.bytes == 0 { data.into() } else { Bytes::from_owner(Held { data, _share: self }) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Data and the share of memory that it takes.
struct Held {
    data: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}
