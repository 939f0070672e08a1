//! How many WebSockets are open, and why the others ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::frames::Violation;
use super::pipe::End;

/// Why a WebSocket ended, as metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebSocketEnd {
    /// One side closed, and the other agreed.
    Closed,
    /// The client went away without closing.
    ClientGone,
    /// The agent did.
    AgentGone,
    /// A frame was longer than it may be.
    FrameSize,
    /// There were more frames in a second than there may be.
    FrameRate,
    /// A frame was none.
    Protocol,
    /// A side took in nothing.
    Stalled,
    /// It was open as long as it may be.
    TimeLimit,
    /// Another client took its place.
    Replaced,
    /// Its session ended.
    SessionEnded,
    /// The server ended.
    Shutdown,
}

impl WebSocketEnd {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::ClientGone,
        Self::AgentGone,
        Self::FrameSize,
        Self::FrameRate,
        Self::Protocol,
        Self::Stalled,
        Self::TimeLimit,
        Self::Replaced,
        Self::SessionEnded,
        Self::Shutdown,
    ];

    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientGone => "client-gone",
            Self::AgentGone => "agent-gone",
            Self::FrameSize => "frame-size",
            Self::FrameRate => "frame-rate",
            Self::Protocol => "protocol",
            Self::Stalled => "stalled",
            Self::TimeLimit => "time-limit",
            Self::Replaced => "replaced",
            Self::SessionEnded => "session-ended",
            Self::Shutdown => "shutdown",
        }
    }

    pub(crate) fn of(end: &End) -> Self {
        match end {
            End::Closed => Self::Closed,
            End::ClientGone => Self::ClientGone,
            End::AgentGone => Self::AgentGone,
            End::Refused(_, Violation::TooLong(_)) => Self::FrameSize,
            End::Refused(_, Violation::TooMany) => Self::FrameRate,
            End::Refused(..) => Self::Protocol,
            End::Stalled(_) => Self::Stalled,
            End::TooLong => Self::TimeLimit,
            End::SessionEnded(_) => Self::SessionEnded,
            End::Shutdown => Self::Shutdown,
        }
    }
}

/// WebSockets since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebSocketCounts {
    /// Open now.
    pub open: u64,
    /// Shells that there are, with such a client or without.
    pub shells: usize,
    /// Ended.
    pub ended: BTreeMap<WebSocketEnd, u64>,
}

/// Keeps them; clones share it. The lock is held for an addition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<WebSocketCounts>>);

impl Counters {
    /// Counts one more until the guard is dropped.
    pub(crate) fn open(&self) -> Open {
        self.0.lock().open += 1;
        Open { counters: self.clone(), end: WebSocketEnd::ClientGone }
    }

    pub(crate) fn get(&self) -> WebSocketCounts {
        self.0.lock().clone()
    }
}

/// One that is open. Dropped without more, its client never took it.
#[derive(Debug)]
pub(crate) struct Open {
    counters: Counters,
    end: WebSocketEnd,
}

impl Open {
    pub(crate) fn ended(&mut self, end: WebSocketEnd) {
        self.end = end;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.counters.0.lock();
        counts.open = counts.open.saturating_sub(1);
        *counts.ended.entry(self.end).or_default() += 1;
    }
}
