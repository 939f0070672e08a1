//! Whether a client is still there: who is silent is asked, and who does not answer has gone. Who vanishes without a word, as a machine
//! that sleeps or loses its network does, would else keep a session active for as long as a connection may be open.
//!
//! ```text
//! heard ── one interval of silence ──► asked ── another one ──► gone
//!   ▲                                    │
//!   └────────── anything at all ─────────┘
//! ```
//!
//! What comes keeps no session from being idle by itself: the connection does, for as long as it is open.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// What a ping carries: the pong that says the same is the answer to it, and no other is. Source: RFC 6455, section 5.5.3.
pub(crate) const PING: &[u8] = b"innkeep:alive?";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// To ask.
    Ping,
    /// Nothing: it was asked, and did not answer.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Pulse {
    interval: Duration,
    heard: Instant,
    asked: Option<Instant>,
    /// Ends when something is due, or before.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pulse {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, heard: Instant::now(), asked: None, timer: None }
    }

    /// Something has come, at `at`, or nobody listened until then.
    pub(crate) fn heard(&mut self, at: Instant) {
        if at > self.heard {
            (self.heard, self.asked) = (at, None);
        }
    }

    /// A ping could not be sent now: another is due after an interval.
    pub(crate) fn put_off(&mut self) {
        self.heard(Instant::now());
    }

    /// Waits until something is due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let due = self.asked.unwrap_or(self.heard) + self.interval;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due && self.asked.is_some() {
                return Poll::Ready(Due::Gone);
            }
            if now >= due {
                self.asked = Some(now);
                timer.as_mut().reset(now + self.interval);
                return Poll::Ready(Due::Ping);
            }
            timer.as_mut().reset(due);
        }
    }
}
