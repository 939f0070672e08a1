//! The body of an answer to the caller: a few bytes of our own, or the agent's stream with the lease that keeps its session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use innkeep_sandbox::upstream::{self, UpstreamBody};
use innkeep_sandbox::{Ended, Lease};
use innkeep_types::{AgentExit, InvocationState, StopReason};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::command::CommandStream;
use crate::crossings::{Crossings, Limit};
use crate::invocations::StoredBody;

/// What an agent wrote before it exited may still be on its way for this long. Source: our choice: within the second in which
/// a caller is told of the exit.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// How long after the end of a connection the sidecar may need to say that the agent is dead. Source: our choice; it says so
/// within a few milliseconds.
const EXIT_NEWS: Duration = Duration::from_millis(50);

/// The body of every answer of the data plane.
#[derive(Debug)]
pub struct GatewayBody {
    content: Content,
}

/// Extension of an answer that streams: when it must be over. The body keeps to it by itself as long as it is asked for frames;
/// who writes them must enforce it while it cannot write, because the client does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerDeadline(pub Instant);

#[derive(Debug)]
enum Content {
    Whole(Full<Bytes>),
    /// Boxed: answers move several times before they are read.
    Agent(Box<AgentStream>),
    Command(CommandStream),
    Stored(Box<StoredBody>),
}

/// Why an answer ended before its end. The caller sees a connection cut in the middle, never a clean end.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The agent broke it off.
    #[error("the agent broke its answer off")]
    Agent(#[source] upstream::Error),
    /// The session ended.
    #[error("the session ended: {}", .0.as_str())]
    Ended(StopReason),
    /// It took longer than a stream may.
    #[error("the answer took too long")]
    TooLong,
    /// It is larger than an answer may be.
    #[error("the answer is too large")]
    TooLarge,
    /// It is one that was kept, and broke off.
    #[error("the invocation {}", .0.as_str())]
    Unfinished(InvocationState),
    /// It is one that was kept, and its file cannot be read.
    #[error("a kept answer could not be read")]
    Stored(#[source] std::io::Error),
}

/// What ends an exchange with an agent from outside.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// The session is ending, or its agent has ended.
    Ended(Ended),
    /// The time for the whole stream is over.
    TooLong,
}

impl From<Interrupt> for StreamError {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Ended(ended) => Self::Ended(ended.reason),
            Interrupt::TooLong => Self::TooLong,
        }
    }
}

/// Waits for an [`Interrupt`]; none if there is no more reason to wait. Holds a lease.
pub(crate) struct Watch(Pin<Box<dyn Future<Output = Option<Interrupt>> + Send>>);

impl Watch {
    /// Returns the watch over one exchange, from the request to the answer's last byte, which ends at `deadline`.
    pub(crate) fn over_exchange(lease: Arc<Lease>, deadline: Instant) -> Self {
        Self(Box::pin(async move {
            tokio::select! {
                ended = lease.ended() => {
                    if died(&ended.reason) {
                        sleep(LAST_BYTES).await;
                    }
                    Some(Interrupt::Ended(ended))
                }
                () = sleep_until(deadline) => Some(Interrupt::TooLong),
            }
        }))
    }

    /// Returns the watch for the news that the agent, which has just closed its connection, died and was not done.
    fn for_exit_news(lease: Arc<Lease>) -> Self {
        Self(Box::pin(async move {
            let ended = timeout(EXIT_NEWS, lease.ended()).await.ok()?;
            let done = matches!(ended.reason, StopReason::AgentExited { exit: AgentExit::Code(0) });
            (!done).then_some(Interrupt::Ended(ended))
        }))
    }
}

/// Tells whether it was the agent that ended, by itself: nobody wanted the session's end.
pub(crate) fn died(reason: &StopReason) -> bool {
    matches!(reason, StopReason::AgentExited { .. } | StopReason::OutOfMemory | StopReason::HostLost { .. })
}

impl Future for Watch {
    type Output = Option<Interrupt>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// The agent's answer on its way to the caller: frames as they come, at the caller's pace. The session stays Active until this
/// is dropped: at its end, at an error, or when the caller has gone.
#[derive(Debug)]
pub(crate) struct AgentStream {
    upstream: UpstreamBody,
    lease: Arc<Lease>,
    watch: Watch,
    /// What may still pass, bytes.
    allowance: u64,
    deadline: Instant,
    crossings: Crossings,
    end: End,
    failure: Option<StreamError>,
    /// Whether it has come to its end, well or not.
    is_over: bool,
}

/// What an answer is held to.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) max_bytes: u64,
    /// When it must be over.
    pub(crate) deadline: Instant,
    /// Where it is counted that it was not.
    pub(crate) crossings: Crossings,
}

/// What tells that an answer is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its framing: a length, or a last chunk.
    Framed,
    /// Nothing but the end of its connection, so that a dead agent looks like a done one.
    Close,
    /// The connection has ended; whether the agent is dead will be known in a moment.
    Closed,
}

impl AgentStream {
    pub(crate) fn new(upstream: UpstreamBody, lease: Arc<Lease>, watch: Watch, bounds: Bounds, end: End) -> Self {
        let Bounds { max_bytes, deadline, crossings } = bounds;
        Self { upstream, lease, watch, allowance: max_bytes, deadline, crossings, end, failure: None, is_over: false }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let next = ready!(self.poll_next(cx));
        self.is_over = !matches!(next, Some(Ok(_)));
        match next {
            Some(Err(failure)) => {
                match failure {
                    StreamError::TooLarge => self.crossings.count(Limit::Body),
                    StreamError::TooLong => self.crossings.count(Limit::Stream),
                    _ => {}
                }
                // A failing body makes hyper close at once and forget what it has not written yet, the head even. Pausing makes
                // it write: the caller gets all that the agent said, and does not take the failure for one to be retried.
                self.failure = Some(failure);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match Pin::new(&mut self.watch).poll(cx) {
            Poll::Ready(Some(interrupt)) => return Poll::Ready(Some(Err(interrupt.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending if self.end == End::Closed => return Poll::Pending,
            Poll::Pending => {}
        }
        match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let n_bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                let left = self.allowance.checked_sub(n_bytes);
                self.allowance = left.unwrap_or(0);
                Poll::Ready(Some(if left.is_some() { Ok(frame) } else { Err(StreamError::TooLarge) }))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(StreamError::Agent(error)))),
            None if self.end == End::Close => {
                self.end = End::Closed;
                self.watch = Watch::for_exit_news(self.lease.clone());
                self.poll_next(cx)
            }
            None => Poll::Ready(None),
        }
    }
}

/// One that is cut off at its deadline because its client does not read is not asked again, and only dropped.
impl Drop for AgentStream {
    fn drop(&mut self) {
        if !self.is_over && Instant::now() >= self.deadline {
            self.crossings.count(Limit::Stream);
        }
    }
}

impl GatewayBody {
    /// Returns a body of these bytes.
    pub(crate) fn whole(data: Bytes) -> Self {
        Self { content: Content::Whole(Full::new(data)) }
    }

    /// Returns a body that streams.
    pub(crate) fn agent(stream: AgentStream) -> Self {
        Self { content: Content::Agent(Box::new(stream)) }
    }

    /// Returns a body that tells of a command.
    pub(crate) fn command(stream: CommandStream) -> Self {
        Self { content: Content::Command(stream) }
    }

    /// Returns a body that was kept.
    pub(crate) fn stored(body: StoredBody) -> Self {
        Self { content: Content::Stored(Box::new(body)) }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.content {
            Content::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Content::Agent(stream) => stream.poll_frame(cx),
            Content::Command(stream) => {
                stream.poll_message(cx).map(|message| message.map(|data| Ok(Frame::data(data))))
            }
            Content::Stored(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_end_stream(),
            Content::Agent(stream) => stream.end == End::Framed && stream.upstream.is_end_stream(),
            Content::Command(stream) => stream.is_over(),
            Content::Stored(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Agent(stream) => stream.upstream.size_hint(),
            Content::Command(_) => SizeHint::new(),
            Content::Stored(body) => body.size_hint(),
        }
    }
}
