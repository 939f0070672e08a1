//! One connection for one request. The future that asks also drives the connection, and so does the body that it returns:
//! there is no task behind them, and dropping either closes the socket.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::Error;
use crate::body::PayloadBody;
use crate::transport::Stream;

/// Sends `request` over `stream` and returns the response once its head is here.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<PayloadBody>,
) -> Result<Response<ResponseBody>, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = Driver(Some(Box::pin(connection.with_upgrades())));
    let mut sending = pin!(sender.send_request(request));
    let response = poll_fn(|cx| {
        driver.poll(cx);
        sending.as_mut().poll(cx)
    })
    .await?;
    Ok(response.map(|incoming| ResponseBody { driver, incoming }))
}

/// Sends a request to upgrade, and returns the head of the response and the connection; or the body, if the server does not upgrade.
pub(crate) async fn upgrade(
    stream: Box<dyn Stream>,
    request: Request<PayloadBody>,
) -> Result<(response::Parts, Result<Upgraded, ResponseBody>), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = Driver(Some(Box::pin(connection.with_upgrades())));
    let mut sending = pin!(sender.send_request(request));
    let mut response = poll_fn(|cx| {
        driver.poll(cx);
        sending.as_mut().poll(cx)
    })
    .await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (head, incoming) = response.into_parts();
        return Ok((head, Err(ResponseBody { driver, incoming })));
    }
    let mut upgrade = pin!(hyper::upgrade::on(&mut response));
    let upgraded = poll_fn(|cx| {
        driver.poll(cx);
        upgrade.as_mut().poll(cx)
    })
    .await?;
    Ok((response.into_parts().0, Ok(upgraded)))
}

/// A response's body as it comes.
pub struct ResponseBody {
    driver: Driver,
    incoming: Incoming,
}

impl ResponseBody {
    /// Returns the next piece, in whatever size it arrived; `None` after the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped and called again.
    ///
    /// # Errors
    /// [`Error::BrokenOff`] if the connection ends before the body does.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = poll_fn(|cx| {
                self.driver.poll(cx);
                Pin::new(&mut self.incoming).poll_frame(cx)
            });
            match frame.await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::BrokenOff(error)),
                // A frame without data holds trailers, which nobody here reads.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
            }
        }
    }

    /// Returns the rest of the body, cut at `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let room = limit.saturating_sub(all.len());
            all.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if all.len() >= limit {
                break;
            }
        }
        Ok(all)
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("open", &self.driver.0.is_some()).finish()
    }
}

/// Boxed: hyper does not name it.
type Connection = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// The connection until it ends. How it ended is told by the request or the body that it served.
struct Driver(Option<Connection>);

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && let Poll::Ready(_) = connection.as_mut().poll(cx)
        {
            self.0 = None;
        }
    }
}
