//! The agent that `bench/run` puts behind every contender: one thread, one constant answer, so that what differs between two
//! rows of the table is what stands in front of it. Listens on `PORT`, else 8080.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the agent's whole configuration")]
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::POST, "/invocations") => (StatusCode::OK, &br#"{"result":"4"}"#[..]),
        (&Method::GET, "/ping") => (StatusCode::OK, &br#"{"status":"Healthy"}"#[..]),
        _ => (StatusCode::NOT_FOUND, &br#"{"error":"no such path"}"#[..]),
    };
    // Read to its end, so that the connection can be used again; what it says does not matter.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
