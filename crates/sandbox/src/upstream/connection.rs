//! One connection to an agent, and the driving of it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::{AgentRequestBody, Error, Failure};
use crate::dial::{DialMonitor, DialStream};

type Driver = http1::Connection<DialStream, AgentRequestBody>;

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    requests: http1::SendRequest<AgentRequestBody>,
    /// Moves the bytes while it is polled; none once the connection is over. Boxed: it holds the parser and moves with the rest.
    driver: Option<Box<Driver>>,
    monitor: DialMonitor,
}

impl Connection {
    /// Returns a connection over a freshly dialled socket.
    pub(super) async fn open(stream: DialStream) -> Result<Self, hyper::Error> {
        let monitor = stream.monitor();
        let (requests, driver) = http1::handshake(stream).await?;
        Ok(Self { requests, driver: Some(Box::new(driver)), monitor })
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn exchange(
        mut self,
        request: Request<AgentRequestBody>,
    ) -> Result<(Response<Incoming>, Self), Failure> {
        let sent_before = self.monitor.bytes_sent();
        let Self { requests, driver, .. } = &mut self;
        let mut answer = pin!(requests.try_send_request(request));
        // The answer comes only through the driver, and at its end the driver has always given one, be it an error.
        let answer = poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await;
        match answer {
            Ok(head) => Ok((head, self)),
            Err(mut error) => {
                let untouched = self.monitor.bytes_sent() == sent_before;
                let unsent = error.take_message().filter(|_| untouched).map(Box::new);
                Err(Failure { unsent, error: Error::Exchange(error.into_error()) })
            }
        }
    }

    /// Tells whether the agent has closed the connection, or said something unasked.
    pub(super) fn was_closed(&self) -> bool {
        !self.monitor.is_quiet()
    }

    /// Tells whether another request may be sent: the last exchange is over on both sides.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(self.driver.is_some() && self.requests.is_ready())
        })
        .await
    }

    /// Moves bytes; arranges for `cx` to be woken when more can move.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }
}

fn drive(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    if let Some(running) = driver {
        // Its error is not lost: hyper gives it to the request or body that it broke, which is what the caller polls next.
        if Pin::new(&mut **running).poll(cx).is_ready() {
            *driver = None;
        }
    }
}
