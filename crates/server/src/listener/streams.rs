//! The requests of one HTTP/2 connection: how many are open, and which of them wait for a client that takes in nothing.
//!
//! A client may hold back one answer and take another, so that the connection never waits; what waits is the stream. And while hyper
//! cannot send, it does not ask the answer's body for more, so that no deadline in the body can end this. A body therefore notes
//! when it was last asked, and whoever runs the stream looks.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use innkeep_gateway::{Crossings, Limit};
use innkeep_sandbox::tasks::{Kind, Tasks};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

tokio::task_local! {
    /// The pace of the stream that the running task serves.
    static PACE: Pace;
}

/// How often a stream that waits for nothing is looked at, as a part of the time that it may wait.
const LOOKS: u32 = 8;

/// Runs the streams of one connection; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    tasks: Tasks,
    stall_timeout: Duration,
    crossings: Crossings,
    open: Arc<watch::Sender<usize>>,
}

/// Since when a client has had something to take in, and when its answer ends in any case.
#[derive(Debug, Clone, Default)]
struct Pace(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    since: Option<Instant>,
    end: Option<Instant>,
}

/// Why a client is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Stall,
    /// Which the answer counts itself.
    End,
}

impl Streams {
    pub(super) fn new(tasks: Tasks, stall_timeout: Duration, crossings: Crossings) -> Self {
        Self { tasks, stall_timeout, crossings, open: Arc::new(watch::Sender::new(0)) }
    }

    /// Returns once there has been no stream for `timeout`.
    pub(super) async fn idle_for(&self, timeout: Duration) {
        let mut open = self.open.subscribe();
        loop {
            // Its sender is ours: it does not go away.
            let _ = open.wait_for(|n| *n == 0).await;
            tokio::select! {
                // Also one that was over before anybody looked.
                _ = open.changed() => {}
                () = sleep(timeout) => return,
            }
        }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (open, cut, stall_timeout) = (Open::new(self.open.clone()), self.tasks.cut().clone(), self.stall_timeout);
        let crossings = self.crossings.clone();
        let pace = Pace::default();
        self.tasks.spawn(Kind::Stream, async move {
            let _open = open;
            // Dropped unfinished, a stream is reset.
            tokio::select! {
                () = PACE.scope(pace.clone(), stream) => {}
                why = pace.stalls(stall_timeout) => {
                    debug!("the client does not read its answer");
                    if why == Why::Stall {
                        crossings.count(Limit::WriteStall);
                    }
                }
                () = cut.cancelled() => {}
            }
        });
    }
}

/// One open stream, counted.
struct Open(Arc<watch::Sender<usize>>);

impl Open {
    fn new(open: Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|n| *n += 1);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Pace {
    /// Returns once the client has taken in nothing for `timeout`, or beyond the answer's end; up to an eighth of it later.
    async fn stalls(&self, timeout: Duration) -> Why {
        loop {
            let due = {
                let waiting = self.0.lock();
                waiting.since.map(|since| match (since + timeout, waiting.end) {
                    (stall, Some(end)) if end <= stall => (end, Why::End),
                    (stall, _) => (stall, Why::Stall),
                })
            };
            match due {
                Some((due, why)) if due <= Instant::now() => return why,
                Some((due, _)) => sleep_until(due).await,
                None => sleep(timeout / LOOKS).await,
            }
        }
    }
}

/// Returns `body`, noting for the running stream when it is asked; `end` is when it must be over, if it must.
pub(super) fn watched<B>(body: B, end: Option<Instant>) -> Watched<B> {
    let pace = PACE.try_with(Clone::clone).unwrap_or_default();
    pace.0.lock().end = end;
    Watched { body, pace }
}

/// A body that notes when it is asked for more.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    pace: Pace,
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // Until there is something to take in, it is not the client who is waited for.
        self.pace.0.lock().since = None;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_some() {
            self.pace.0.lock().since = Some(Instant::now());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_while_no_stream_is_open() {
        let streams = Streams::new(Tasks::default(), Duration::from_secs(300), Crossings::default());
        let began = Instant::now();
        let stream = Open::new(streams.open.clone());
        let late = async {
            sleep(Duration::from_secs(100)).await;
            drop(stream);
            sleep(Duration::from_secs(20)).await;
            drop(Open::new(streams.open.clone()));
        };
        tokio::join!(streams.idle_for(Duration::from_secs(30)), late);
        assert_eq!(began.elapsed().as_secs(), 150);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_in_nothing_is_waited_for_and_then_not() {
        let timeout = Duration::from_secs(80);
        let pace = Pace::default();
        let mut body = Watched { body: Full::new(Bytes::from_static(b"x")).map_err(|never| match never {}), pace };
        let waits = tokio::time::timeout(10 * timeout, body.pace.clone().stalls(timeout)).await;
        assert!(waits.is_err(), "nothing was there to take in");
        body.frame().await.unwrap().unwrap();
        let began = Instant::now();
        assert_eq!(body.pace.stalls(timeout).await, Why::Stall);
        assert_eq!(began.elapsed(), timeout);
        body.pace.0.lock().end = Some(Instant::now());
        body.pace.0.lock().since = Some(Instant::now());
        assert_eq!(body.pace.stalls(timeout).await, Why::End);
        assert_eq!(began.elapsed(), timeout, "its end was here");
        assert!(body.frame().await.is_none());
        assert!(body.pace.0.lock().since.is_none());
    }
}
