//! A request's body on its way to the agent: one that was read whole, because its signature covers it, or one that is let in under
//! a token and passes as it comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use innkeep_sandbox::upstream::AgentRequestBody;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use crate::error::Error;
use crate::inbound::Lent;
use crate::spool::Spooled;

/// A body of known length. Agents on plain HTTP libraries read as many bytes as they are told, or fail without being told.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: u64,
    pub(crate) body: AgentRequestBody,
    pub(crate) trouble: Trouble,
}

/// What befell a body on its way, which to the agent looks like a broken connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<Error>>>);

impl Trouble {
    /// Returns it, if anything did.
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

impl From<Spooled> for Payload {
    fn from(spooled: Spooled) -> Self {
        let bytes = spooled.len;
        Self { bytes, body: spooled.into_body().boxed_unsync(), trouble: Trouble::default() }
    }
}

impl Payload {
    /// Returns the body of `bytes` that passes as it comes, and may pause for `patience`.
    pub(crate) fn passing(lent: Lent, bytes: u64, patience: Duration) -> Self {
        let trouble = Trouble::default();
        let body = Passing { lent, left: bytes, patience, pause: None, trouble: trouble.clone() };
        Self { bytes, body: body.boxed_unsync(), trouble }
    }
}

struct Passing {
    lent: Lent,
    left: u64,
    patience: Duration,
    /// Runs while the caller is waited for; not while the agent is.
    pause: Option<Pin<Box<Sleep>>>,
    trouble: Trouble,
}

impl Passing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.lent).poll_frame(cx) {
            self.pause = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| Error::BodyBroken(error.into()))));
        }
        let patience = self.patience;
        ready!(self.pause.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::BodyStalled(patience))))
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match ready!(self.poll(cx)) {
            None => Poll::Ready(None),
            Some(Ok(frame)) => {
                self.left = self.left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let told = io::Error::other(error.to_string());
                *self.trouble.0.lock() = Some(error);
                Poll::Ready(Some(Err(told)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
