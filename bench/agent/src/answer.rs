//! What the agent answers: a constant; with `bytes N`, so many bytes; with `events N MS`, so many server-sent events, one every
//! so many milliseconds, each with the time at which it was made: nanoseconds of CLOCK_MONOTONIC, which every process of a host
//! shares.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Interval, interval_at};

const PIECE: &[u8] = &[b'x'; 64 << 10];

/// What a caller asked for.
pub(crate) enum Wanted {
    Constant(&'static str),
    Bytes(u64),
    Events { count: u32, every: Duration },
}

/// The body of an answer.
pub(crate) enum Answer {
    /// This, once.
    Constant(Option<&'static str>),
    /// So many bytes more.
    Bytes(u64),
    /// So many events more, one with every tick, but the first at once: a timer would round up to a millisecond.
    Events { left: u32, every: Duration, ticks: Option<Interval> },
}

impl Wanted {
    pub(crate) fn parse(words: &[u8]) -> Self {
        let words: Vec<&str> = std::str::from_utf8(words).unwrap_or_default().split_ascii_whitespace().collect();
        let wanted = match words.as_slice() {
            ["bytes", n] => n.parse().ok().map(Self::Bytes),
            ["events", n, ms] => n
                .parse()
                .ok()
                .zip(ms.parse().ok())
                .map(|(count, ms)| Self::Events { count, every: Duration::from_millis(u64::max(ms, 1)) }),
            _ => None,
        };
        wanted.unwrap_or(Self::Constant(r#"{"result":"4"}"#))
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Constant(_) => "application/json",
            Self::Bytes(_) => "application/octet-stream",
            Self::Events { .. } => "text/event-stream",
        }
    }
}

impl Answer {
    pub(crate) fn new(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Constant(text) => Self::Constant(Some(text)),
            Wanted::Bytes(left) => Self::Bytes(left),
            Wanted::Events { count, every } => Self::Events { left: count, every, ticks: None },
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Constant(text) => text.take().map(|text| Bytes::from_static(text.as_bytes())),
            Self::Bytes(0) | Self::Events { left: 0, .. } => None,
            Self::Bytes(left) => {
                let piece = usize::try_from(*left).ok().and_then(|left| PIECE.get(..left)).unwrap_or(PIECE);
                *left -= piece.len() as u64;
                Some(Bytes::from_static(piece))
            }
            Self::Events { left, every, ticks } => {
                if let Some(ticks) = ticks {
                    ready!(ticks.poll_tick(cx));
                } else {
                    *ticks = Some(interval_at(Instant::now() + *every, *every));
                }
                *left -= 1;
                let now = clock_gettime(ClockId::Monotonic);
                Some(format!("data: {}\n\n", now.tv_sec * 1_000_000_000 + now.tv_nsec).into())
            }
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Constant(None) | Self::Bytes(0) | Self::Events { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Constant(text) => SizeHint::with_exact(text.map_or(0, |text| text.len() as u64)),
            Self::Bytes(left) => SizeHint::with_exact(*left),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}
