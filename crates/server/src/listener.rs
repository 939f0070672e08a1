//! Takes connections in and serves HTTP on each: HTTP/1.1, or over TLS what the client chooses, HTTP/2 too. There is no HTTP/2 without
//! TLS.

mod handshake;
mod http2;
mod paced;
mod rounds;
mod streams;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use innkeep_auth::policy::Via;
use innkeep_gateway::{AnswerDeadline, Tunnel};
use innkeep_sandbox::tasks::{Kind, Tasks};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use crate::config::Config;
use crate::router::Router;
use paced::{AnswerEnd, Paced};
use rounds::Rounds;

/// For whom a listener waits, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    max_connections: usize,
    /// For a request's head, and for a handshake. Needs the timer below: without one hyper ignores it.
    head_timeout: Duration,
    /// For a client that takes in nothing of its answer.
    write_stall_timeout: Duration,
}

impl Patience {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            max_connections: config.max_connections,
            head_timeout: Duration::from_secs(config.head_timeout_secs),
            write_stall_timeout: Duration::from_secs(config.write_stall_timeout_secs),
        }
    }
}

/// The largest head of a request, bytes: baggage alone may be 8 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Headers of one request.
const MAX_HEADERS: usize = 128;

/// What every connection is served with.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) router: Arc<Router>,
    pub(crate) patience: Patience,
    /// None: plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) tasks: Tasks,
}

/// How long to wait after a failure to accept (out of descriptors) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the tasks are told to end.
pub(crate) async fn listen(listener: TcpListener, front: Front) {
    let slots = Arc::new(Semaphore::new(front.patience.max_connections));
    let stopping = front.tasks.stopping().clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = async {
                let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                listener.accept().await.map(|(stream, peer)| (stream, peer, slot))
            } => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                // As it is: a block around it would hold it twice.
                front.tasks.spawn(Kind::Connection, serve(stream, peer.ip(), front.clone(), slot));
            }
            Err(error) => {
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end, and gives `_slot` back.
async fn serve(stream: TcpStream, peer: IpAddr, front: Front, _slot: OwnedSemaphorePermit) {
    // Answers are streamed in small pieces; Nagle would hold them back.
    let _ = stream.set_nodelay(true);
    let answer_end = AnswerEnd::default();
    let crossings = front.router.gateway.crossings_counter();
    let stream = Paced::new(stream, front.patience.write_stall_timeout, answer_end.clone(), crossings);
    let via = Via { peer, secure: front.tls.is_some() };
    let result = match front.tls.clone() {
        None => serve_http1(stream, answer_end, via, front).await,
        // Boxed, here and below: every connection's task would else have the room that these need, and keep it.
        Some(tls) => Box::pin(serve_tls(stream, tls, answer_end, via, front)).await,
    };
    if let Err(error) = result {
        // Clients that go away are no news.
        debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}

async fn serve_tls(
    stream: Paced,
    tls: Arc<ServerConfig>,
    answer_end: AnswerEnd,
    via: Via,
    front: Front,
) -> hyper::Result<()> {
    let accepted = tokio::select! {
        accepted = handshake::accept(stream, tls, front.patience.head_timeout) => accepted,
        () = front.tasks.stopping().cancelled() => return Ok(()),
    };
    match accepted {
        Ok(Some(stream)) if handshake::chose_http2(&stream) => Box::pin(http2::serve(stream, via, front)).await,
        Ok(Some(stream)) => serve_http1(stream, answer_end, via, front).await,
        Ok(None) => Ok(()),
        Err(error) => {
            debug!(%error, "no TLS connection came to be");
            Ok(())
        }
    }
}

async fn serve_http1<S>(stream: S, answer_end: AnswerEnd, via: Via, front: Front) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Front { router, patience, tasks, .. } = front;
    let tunnel: Arc<Mutex<Option<Tunnel>>> = Arc::default();
    let slot = tunnel.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        let (router, answer_end, slot) = (router.clone(), answer_end.clone(), slot.clone());
        async move {
            // Boxed: hyper keeps the room of this future as long as the connection, and answers stream long after it is over.
            let mut answer = Box::pin(router.handle(request)).await;
            *slot.lock() = answer.extensions_mut().remove();
            answer_end.set(answer.extensions().get().map(|AnswerDeadline(end)| *end));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let stopping = tasks.stopping().cancelled();
    drive(pin!(connection), |connection| connection.graceful_shutdown(), stopping, tasks.cut().cancelled()).await?;
    let tunnel = tunnel.lock().take();
    if let Some(tunnel) = tunnel {
        tokio::select! {
            () = Box::pin(tunnel.run(tasks.stopping().cancelled())) => {}
            () = tasks.cut().cancelled() => {}
        }
    }
    Ok(())
}

/// Drives `connection` to its end; once `stopping` is over it takes no further request, once `cut` is, it is left where it is. Pinned by the
/// caller: a future has its arguments' room besides what it pins itself.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    stop: impl FnOnce(Pin<&mut C>),
    stopping: impl Future<Output = ()>,
    cut: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let rounds = Rounds::new();
    tokio::select! {
        result = poll_fn(|cx| rounds.poll(cx, |cx| connection.as_mut().poll(cx))) => return result,
        () = stopping => stop(connection.as_mut()),
    }
    tokio::select! {
        result = poll_fn(|cx| rounds.poll(cx, |cx| connection.as_mut().poll(cx))) => result,
        () = cut => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_returned<A, B, C, D, R>(_: impl FnOnce(A, B, C, D) -> R) -> usize {
        size_of::<R>()
    }

    /// A thousand clients that wait for the next event of their streams have a thousand of these.
    #[test]
    fn the_task_of_a_connection_is_small() {
        let bytes = size_of_returned(serve);
        assert!(bytes <= 2 * 1024, "{bytes} bytes");
    }
}
