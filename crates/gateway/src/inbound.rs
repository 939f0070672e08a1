//! A request's body as it arrives, and what becomes of the rest of it when the request is refused: it is read on for a moment,
//! or the client, still sending, would see a reset where it should see the answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use innkeep_types::limits;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::alias::may_be_object;
use crate::error::Error;

/// How long a refused request's body is read on. Source: our choice; a client on the same host sends 100 MB in less.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// A body that knows whether its client has been told to send it, and that can be lent to who passes it on.
#[derive(Debug)]
pub struct Inbound {
    here: Option<Arrival>,
    /// Where it comes back from; none if it was never lent.
    away: Option<oneshot::Receiver<Arrival>>,
}

#[derive(Debug)]
struct Arrival {
    incoming: Incoming,
    /// What was looked at, and is still to be read.
    ahead: VecDeque<Bytes>,
    /// The client holds the body back until it is polled (`Expect: 100-continue`): polling is what makes hyper send the 100.
    held_back: bool,
}

/// A body on loan: comes back when this is dropped, with whatever is left of it.
#[derive(Debug)]
pub(crate) struct Lent {
    arrival: Option<Arrival>,
    home: Option<oneshot::Sender<Arrival>>,
}

impl Inbound {
    /// Returns the body that follows `head`.
    pub fn new(head: &request::Parts, incoming: Incoming) -> Self {
        let expect = head.headers.get(EXPECT).map(|value| value.as_bytes());
        let held_back = expect.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        Self { here: Some(Arrival { incoming, ahead: VecDeque::new(), held_back }), away: None }
    }

    /// Lends the body out; what is read of this one meanwhile is nothing.
    pub(crate) fn lend(&mut self) -> Lent {
        let (home, away) = oneshot::channel();
        self.away = Some(away);
        Lent { arrival: self.here.take(), home: Some(home) }
    }

    /// Returns the beginning of a body that may be a JSON object, of `most` bytes and what came with them, or all of it; none may be
    /// waited for longer than `patience`. It is still to be read.
    pub(crate) async fn peek(&mut self, most: usize, patience: Duration) -> Result<Vec<u8>, Error> {
        let mut seen = Vec::new();
        let Some(arrival) = &mut self.here else { return Ok(seen) };
        while seen.len() < most && may_be_object(&seen) {
            let frame = timeout(patience, arrival.incoming_frame()).await.map_err(|_| Error::BodyStalled(patience))?;
            let Some(frame) = frame else { break };
            // Trailers carry nothing that the agent could get.
            let Ok(data) = frame.map_err(|error| Error::BodyBroken(error.into()))?.into_data() else { continue };
            seen.extend_from_slice(&data);
        }
        // In one piece: many small ones would hold what they were cut from.
        if !seen.is_empty() {
            arrival.ahead.push_back(Bytes::copy_from_slice(&seen));
        }
        Ok(seen)
    }

    /// Reads the body of a refused request on, unless its client still holds it back. Tells whether it was read to its end, so
    /// that another request may follow on the connection.
    ///
    /// # Cancel safety
    /// Safe: what was read is gone either way.
    pub async fn drain(&mut self) -> bool {
        timeout(DRAIN_TIME, async {
            if let Some(away) = self.away.take() {
                self.here = away.await.ok();
            }
            match &mut self.here {
                Some(arrival) => arrival.is_end_stream() || !arrival.held_back && arrival.read_to_end().await,
                None => false,
            }
        })
        .await
        .unwrap_or(false)
    }
}

impl Arrival {
    /// Returns what comes next beyond what was looked at.
    async fn incoming_frame(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        self.held_back = false;
        self.incoming.frame().await
    }

    fn n_ahead(&self) -> u64 {
        self.ahead.iter().map(|data| data.len() as u64).sum()
    }

    async fn read_to_end(&mut self) -> bool {
        let mut n_bytes = 0;
        while let Some(frame) = self.frame().await {
            let Ok(frame) = frame else { return false };
            n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if n_bytes > limits::MAX_BODY_BYTES {
                return false;
            }
        }
        true
    }
}

impl Body for Arrival {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(data) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.held_back = false;
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, n_ahead) = (self.incoming.size_hint(), self.n_ahead());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(n_ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(n_ahead));
        }
        hint
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.here.as_mut().map_or(Poll::Ready(None), |arrival| Pin::new(arrival).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.here.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.here.as_ref().map_or_else(SizeHint::new, Body::size_hint)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.arrival.as_mut().map_or(Poll::Ready(None), |arrival| Pin::new(arrival).poll_frame(cx))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(arrival), Some(home)) = (self.arrival.take(), self.home.take()) {
            // Nobody waits for it any more: then it goes.
            let _ = home.send(arrival);
        }
    }
}
