//! HTTP/2 on one connection: its limits, and requests made to look as the rest of the server knows them.
//!
//! A flood costs its sender the connection: streams that are reset before they are answered, headers without end and bodies that
//! nobody reads are bounded by the limits below and by those of `h2` (CVE-2023-44487, CVE-2024-27316).

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use innkeep_auth::policy::Via;
use innkeep_gateway::AnswerDeadline;
use tokio::io::{AsyncRead, AsyncWrite};

use super::streams::{self, Streams};
use super::{Front, MAX_HEAD_BYTES, MAX_HEADERS, drive};
use crate::respond::{self, Body};
use crate::router::Router;

/// Requests at one time on one connection. Source: RFC 9113 section 6.5.2, "no smaller than 100".
const MAX_STREAMS: u32 = 100;

/// Resets that a client may have waiting for us. Source: `h2`'s default, which is its answer to rapid reset.
const MAX_PENDING_RESETS: usize = 20;

/// Errors of one client's streams until the connection ends. Source: our choice; `h2` has 1024.
const MAX_STREAM_ERRORS: usize = 100;

/// Bytes of a body that a client may send ahead of who reads it. Source: our choice; 64 KiB, the protocol's, make 100 MB slow beyond
/// one host.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for all bodies of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of an answer that wait for the client to take them.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Serves until the client has left, has been idle for too long, or the server ends.
pub(super) async fn serve<S>(stream: S, via: Via, front: Front) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Front { router, patience, tasks, .. } = front;
    let streams = Streams::new(tasks.clone(), patience.write_stall_timeout, router.gateway.crossings_counter());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        answer(router.clone(), request)
    });
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_STREAM_ERRORS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let stopping = async {
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            () = streams.idle_for(patience.head_timeout) => {}
        }
    };
    // A client that was told to go and stays is cut off; one that still takes in its last answer has as long again.
    let cut = async {
        let mut idle = pin!(streams.idle_for(patience.head_timeout));
        tokio::select! {
            () = tasks.cut().cancelled() => {}
            () = &mut idle => {}
        }
    };
    drive(pin!(connection), |connection| connection.graceful_shutdown(), stopping, cut).await
}

async fn answer(router: Arc<Router>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let answer = match as_http1(request) {
        Ok(request) => router.handle(request).await,
        Err(status) => respond::empty(status),
    };
    let deadline = answer.extensions().get().map(|AnswerDeadline(end)| *end);
    Ok(answer.map(|body| streams::watched(body, deadline).boxed_unsync()))
}

/// Returns the request with its authority in `Host`, where signatures have it, and not in the URI. Source: RFC 9113 section 8.3.1.
fn as_http1<B>(mut request: Request<B>) -> Result<Request<B>, StatusCode> {
    if request.headers().len() > MAX_HEADERS {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().cloned().ok_or(StatusCode::BAD_REQUEST)?;
    *request.uri_mut() = Uri::from(target);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_becomes_the_host_whatever_the_header_said() {
        let request = Request::post("https://a.example:7080/runtimes/x%2Fy/invocations?qualifier=DEFAULT");
        let request = as_http1(request.header(HOST, "b.example").body(()).unwrap()).unwrap();
        assert_eq!(request.headers()[HOST], "a.example:7080");
        assert_eq!(request.uri(), "/runtimes/x%2Fy/invocations?qualifier=DEFAULT");
        let connect = Request::connect("a.example:80").body(()).unwrap();
        assert_eq!(as_http1(connect).unwrap_err(), StatusCode::BAD_REQUEST);
        let mut many = Request::get("https://a.example/");
        for i in 0..=MAX_HEADERS {
            many = many.header(format!("x-{i}"), "1");
        }
        assert_eq!(as_http1(many.body(()).unwrap()).unwrap_err(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
