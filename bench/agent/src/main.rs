//! The agent that `bench/run` puts behind every contender: one thread, so that what differs between two rows of the table is
//! what stands in front of it. Listens on `PORT`, else 8080. It reads every body to its end and keeps nothing of it; the first
//! words say what to answer (see `answer`), anything else gets one constant. On `/ws` it says back what it is told (see `echo`).

mod answer;
mod echo;

use std::convert::Infallible;
use std::net::Ipv4Addr;

use answer::{Answer, Wanted};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Bytes of a body that are looked at.
const WORDS_BYTES: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the agent's whole configuration")]
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let (mut connections, sockets) = (JoinSet::new(), TaskTracker::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sockets = sockets.clone();
        let service = service_fn(move |request| serve(request, sockets.clone()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection.with_upgrades());
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(request: Request<Incoming>, sockets: TaskTracker) -> Result<Response<Answer>, Infallible> {
    if request.uri().path() == "/ws"
        && let Some(headers) = echo::agree(&request)
    {
        sockets.spawn(echo::serve(request));
        let mut response = Response::new(Answer::new(Wanted::Bytes(0)));
        (*response.status_mut(), *response.headers_mut()) = (StatusCode::SWITCHING_PROTOCOLS, headers);
        return Ok(response);
    }
    let (status, wanted) = match (request.method(), request.uri().path()) {
        (&Method::POST, "/invocations") => (StatusCode::OK, None),
        (&Method::GET, "/ping") => (StatusCode::OK, Some(Wanted::Constant(r#"{"status":"Healthy"}"#))),
        _ => (StatusCode::NOT_FOUND, Some(Wanted::Constant(r#"{"error":"no such path"}"#))),
    };
    // To its end, so that the connection can be used again.
    let words = first_words(request.into_body()).await;
    let wanted = wanted.unwrap_or_else(|| Wanted::parse(&words));
    let content_type = HeaderValue::from_static(wanted.content_type());
    let mut response = Response::new(Answer::new(wanted));
    *response.status_mut() = status;
    if content_type == "text/event-stream" {
        // Else nginx would hold events back.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// Reads a body to its end, or to where it breaks off, and returns its beginning.
async fn first_words(mut body: Incoming) -> BytesMut {
    let mut words = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let room = WORDS_BYTES - words.len();
            words.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    words
}
