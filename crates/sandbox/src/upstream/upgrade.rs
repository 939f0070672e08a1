//! From HTTP to whatever follows an upgrade: a connection of its own, which never returns to the pool.

use std::future::poll_fn;
use std::pin::{Pin, pin};

use http::{Request, Response, StatusCode};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;

use super::{AgentRequestBody, Error, Failure};
use crate::dial::DialStream;

/// What an agent made of a request to upgrade.
#[derive(Debug)]
pub enum UpgradeAnswer {
    /// It agreed: the head of its answer, and the bytes that follow in both directions.
    Upgraded(Box<Response<()>>, Upgraded),
    /// It answered with this status instead; its connection is closed.
    Refused(StatusCode),
}

/// Sends the request on a fresh connection.
pub(super) async fn upgrade(stream: DialStream, request: Request<AgentRequestBody>) -> Result<UpgradeAnswer, Failure> {
    let monitor = stream.monitor();
    let failed = |unsent, error| Failure { unsent, error: Error::Exchange(error) };
    let (mut requests, connection) = match http1::handshake(stream).await {
        Ok(open) => open,
        Err(error) => return Err(failed(Some(Box::new(request)), error)),
    };
    let mut driver = Box::pin(connection.with_upgrades());
    let mut is_over = false;
    let mut drive = |cx: &mut std::task::Context<'_>| {
        // Its error is not lost: hyper gives it to the request or the upgrade that it broke, which is what is polled next.
        is_over = is_over || Pin::new(&mut driver).poll(cx).is_ready();
    };
    let mut answer = pin!(requests.try_send_request(request));
    let answer = poll_fn(|cx| {
        drive(cx);
        answer.as_mut().poll(cx)
    })
    .await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(mut error) => {
            let unsent = error.take_message().filter(|_| monitor.bytes_sent() == 0).map(Box::new);
            return Err(failed(unsent, error.into_error()));
        }
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(UpgradeAnswer::Refused(answer.status()));
    }
    let mut upgraded = pin!(hyper::upgrade::on(&mut answer));
    let upgraded = poll_fn(|cx| {
        drive(cx);
        upgraded.as_mut().poll(cx)
    })
    .await;
    let upgraded = upgraded.map_err(|error| failed(None, error))?;
    Ok(UpgradeAnswer::Upgraded(Box::new(answer.map(drop)), upgraded))
}
