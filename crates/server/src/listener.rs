//! Takes connections in and serves HTTP/1.1 on each.

mod paced;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use innkeep_auth::policy::Via;
use innkeep_gateway::AnswerDeadline;
use innkeep_sandbox::tasks::{Kind, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::config::Config;
use crate::router::Router;
use paced::{AnswerEnd, Paced};

/// For whom a listener waits, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    max_connections: usize,
    /// For a request's head. Needs the timer below: without one hyper ignores it.
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

/// How long to wait after a failure to accept (out of descriptors) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the tasks are told to end.
pub(crate) async fn listen(listener: TcpListener, router: Arc<Router>, patience: Patience, tasks: Tasks) {
    let slots = Arc::new(Semaphore::new(patience.max_connections));
    loop {
        let accepted = tokio::select! {
            () = tasks.stopping().cancelled() => return,
            accepted = async {
                let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                listener.accept().await.map(|(stream, peer)| (stream, peer, slot))
            } => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let via = Via { peer: peer.ip(), secure: false };
                let serve = serve(stream, via, router.clone(), patience, tasks.clone());
                tasks.spawn(Kind::Connection, async move {
                    serve.await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, via: Via, router: Arc<Router>, patience: Patience, tasks: Tasks) {
    // Answers are streamed in small pieces; Nagle would hold them back.
    let _ = stream.set_nodelay(true);
    let answer_end = AnswerEnd::default();
    let stream = Paced::new(stream, patience.write_stall_timeout, answer_end.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        let (router, answer_end) = (router.clone(), answer_end.clone());
        async move {
            let answer = router.handle(request).await;
            answer_end.set(answer.extensions().get().map(|AnswerDeadline(end)| *end));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = tasks.stopping().cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection => result,
                () = tasks.cut().cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        // Clients that go away are no news.
        debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}
