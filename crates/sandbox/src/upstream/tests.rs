//! Against a real listener: what an agent sees of the rules is connections and bytes.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use innkeep_protocol::link::{AgentState, ExitFacts};
use innkeep_types::SandboxId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::dial::DialStream;
use crate::driver;
use crate::exec::{self, Exec, ExecSpec};

/// A sandbox that is nothing but a listener on loopback, which the test serves.
#[derive(Debug)]
struct Loopback {
    id: SandboxId,
    port: u16,
    n_dials: AtomicUsize,
}

#[async_trait]
impl Sandbox for Loopback {
    fn id(&self) -> &SandboxId {
        &self.id
    }
    fn log_file(&self) -> PathBuf {
        PathBuf::new()
    }
    fn agent_pid(&self) -> Option<i32> {
        None
    }
    fn state(&self) -> watch::Receiver<AgentState> {
        watch::channel(AgentState::Starting).1
    }
    async fn dial(&self, _: Option<u16>) -> Result<DialStream, driver::Error> {
        self.n_dials.fetch_add(1, Ordering::Relaxed);
        let refused = |e: std::io::Error| driver::Error::Refused { message: e.to_string() };
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(refused)?;
        Ok(DialStream::from_descriptor(stream.into_std().unwrap().into(), self.port).unwrap())
    }
    async fn exec(&self, _: ExecSpec) -> Result<Exec, exec::Error> {
        Err(exec::Error::NoShell)
    }
    async fn bind(&self, _: &driver::Binding) -> Result<(), driver::Error> {
        Ok(())
    }
    async fn kill(&self, _: Duration) -> Option<ExitFacts> {
        None
    }
}

struct Agent {
    listener: TcpListener,
    sandbox: Arc<Loopback>,
    upstream: Upstream,
}

impl Agent {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sandbox = Arc::new(Loopback { id: SandboxId::generate(), port, n_dials: AtomicUsize::new(0) });
        let upstream = Upstream::new(sandbox.clone());
        upstream.pool.trust();
        Self { listener, upstream, sandbox }
    }

    fn n_dials(&self) -> usize {
        self.sandbox.n_dials.load(Ordering::Relaxed)
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// One request and its answer, on a connection the agent has accepted.
    async fn round_trip(&self, agent: &mut TcpStream, answer: &str) -> Bytes {
        let (answered, ()) = tokio::join!(self.upstream.send(post("hello")), serve(agent, answer));
        read(answered.unwrap()).await
    }

    /// The same where the agent has to accept the connection first; returns that.
    async fn first_round_trip(&self, answer: &str) -> TcpStream {
        let (answered, agent) = tokio::join!(self.upstream.send(post("hello")), async {
            let mut agent = self.accept().await;
            serve(&mut agent, answer).await;
            agent
        });
        read(answered.unwrap()).await;
        agent
    }
}

fn post(body: &'static str) -> Request<AgentRequestBody> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    Request::post("/invocations").header("host", "localhost").body(body.boxed_unsync()).unwrap()
}

async fn read(answer: Response<UpstreamBody>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// Reads one request with body `hello` and answers it.
async fn serve(agent: &mut TcpStream, answer: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"hello") {
        assert_ne!(agent.read_buf(&mut request).await.unwrap(), 0, "connection closed after {request:?}");
    }
    agent.write_all(answer.as_bytes()).await.unwrap();
}

/// Waits until the other side closes.
async fn closed(agent: &mut TcpStream) {
    let mut rest = Vec::new();
    // Closing with unread data is a reset, which is as good.
    let _ = agent.read_to_end(&mut rest).await;
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn a_connection_serves_again_once_its_answer_was_read() {
    let agent = Agent::new().await;
    let mut connection = agent.first_round_trip(LENGTH).await;
    for (answer, expect) in [(CHUNKED, "abc"), (LENGTH, "abc"), (EMPTY, ""), (CHUNKED, "abc")] {
        assert_eq!(agent.round_trip(&mut connection, answer).await, expect);
    }
    assert_eq!((agent.n_dials(), agent.upstream.pool.len()), (1, 1));
}

#[tokio::test]
async fn requests_at_one_time_have_connections_of_their_own() {
    let agent = Agent::new().await;
    let (first, second) = (agent.upstream.send(post("hello")), agent.upstream.send(post("hello")));
    let (first, second, ()) = tokio::join!(first, second, async {
        let (mut one, mut other) = (agent.accept().await, agent.accept().await);
        serve(&mut other, LENGTH).await;
        serve(&mut one, LENGTH).await;
    });
    assert_eq!((read(first.unwrap()).await, read(second.unwrap()).await), ("abc".into(), "abc".into()));
    assert_eq!((agent.n_dials(), agent.upstream.pool.len()), (2, 2));
}

#[tokio::test]
async fn a_connection_that_the_agent_closed_is_not_used_again() {
    let agent = Agent::new().await;
    drop(agent.first_round_trip(LENGTH).await);
    agent.first_round_trip(CHUNKED).await;
    assert_eq!(agent.n_dials(), 2);
}

#[tokio::test]
async fn no_connection_serves_again_before_one_was_seen_open_for_a_while() {
    let mut agent = Agent::new().await;
    agent.upstream = Upstream::new(agent.sandbox.clone());
    let mut first = agent.first_round_trip(LENGTH).await;
    agent.first_round_trip(LENGTH).await;
    assert_eq!(agent.n_dials(), 2);
    tokio::time::sleep(pool::PROBATION).await;
    agent.round_trip(&mut first, LENGTH).await;
    agent.round_trip(&mut first, LENGTH).await;
    assert_eq!(agent.n_dials(), 2);
}

#[tokio::test]
async fn an_agent_that_closes_early_again_and_again_gets_a_connection_per_request() {
    let agent = Agent::new().await;
    for _ in 0..pool::MAX_EARLY_CLOSES {
        drop(agent.first_round_trip(LENGTH).await);
    }
    drop(agent.first_round_trip(LENGTH).await);
    assert_eq!(agent.upstream.pool.len(), 0, "nothing is kept any more");
}

#[tokio::test]
async fn a_connection_on_which_the_agent_spoke_unasked_is_not_used_again() {
    let agent = Agent::new().await;
    let mut connection = agent.first_round_trip(LENGTH).await;
    connection.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    agent.first_round_trip(LENGTH).await;
    assert_eq!(agent.n_dials(), 2);
}

#[tokio::test]
async fn an_http_1_0_agent_gets_a_connection_per_request() {
    let agent = Agent::new().await;
    for n_dials in 1..=2 {
        agent.first_round_trip("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc").await;
        assert_eq!(agent.n_dials(), n_dials);
    }
}

#[tokio::test]
async fn a_dropped_answer_closes_its_connection() {
    let agent = Agent::new().await;
    let (answer, mut connection) = tokio::join!(agent.upstream.send(post("hello")), async {
        let mut connection = agent.accept().await;
        serve(&mut connection, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        connection
    });
    let mut body = answer.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    drop(body);
    closed(&mut connection).await;
    assert_eq!(agent.upstream.pool.len(), 0);
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection() {
    let agent = Agent::new().await;
    let mut connection = tokio::select! {
        _ = agent.upstream.send(post("hello")) => unreachable!("nobody answers"),
        connection = agent.accept() => connection,
    };
    closed(&mut connection).await;
}

#[tokio::test]
async fn an_event_does_not_hold_the_buffer_that_the_next_is_read_into() {
    let agent = Agent::new().await;
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let (sent, mut socket) = tokio::join!(agent.upstream.send(post("hello")), async {
        let mut socket = agent.accept().await;
        serve(&mut socket, answer).await;
        socket
    });
    let mut body = sent.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.is_unique(), "shared with the connection");
    socket.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "second");
    assert_eq!(first, "first");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let agent = Agent::new().await;
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabc", &CHUNKED[..CHUNKED.len() - 5]] {
        let (answered, ()) = tokio::join!(agent.upstream.send(post("hello")), async {
            serve(&mut agent.accept().await, answer).await;
        });
        let error = answered.unwrap().into_body().collect().await.unwrap_err();
        assert!(matches!(error, Error::Body(_)), "{error:?}");
    }
    assert_eq!(agent.upstream.pool.len(), 0);
}

#[tokio::test]
async fn a_request_that_left_is_not_sent_again() {
    let agent = Agent::new().await;
    let mut connection = agent.first_round_trip(LENGTH).await;
    let (answered, ()) = tokio::join!(agent.upstream.send(post("hello")), async {
        // The request is read, then the agent dies.
        connection.read_u8().await.unwrap();
        drop(connection);
    });
    let failure = answered.map(|_| ()).unwrap_err();
    assert!(matches!(failure, Failure { unsent: None, error: Error::Exchange(_) }), "{failure:?}");
    assert_eq!(agent.n_dials(), 1);
}

#[tokio::test]
async fn a_request_that_did_not_leave_is_handed_back() {
    let agent = Agent::new().await;
    let connection = agent.first_round_trip(LENGTH).await;
    let mut kept = agent.upstream.pool.take().await.unwrap();
    drop(connection);
    while kept.is_usable().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // One more look of the runtime at its sockets, so that hyper too finds this one closed before it writes.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let failure = kept.exchange(post("hello")).await.map(|_| ()).unwrap_err();
    let back = failure.unsent.unwrap();
    assert_eq!(back.uri().path(), "/invocations");
    assert_eq!(back.into_body().collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn no_listener_is_a_refused_dial_and_the_request_comes_back() {
    let Agent { listener, upstream, .. } = Agent::new().await;
    drop(listener);
    let Failure { unsent, error } = upstream.send(post("hello")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Dial(driver::Error::Refused { .. })), "{error:?}");
    assert_eq!(unsent.unwrap().into_body().collect().await.unwrap().to_bytes(), "hello");
}

/// A request's body without an end.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 4096])))))
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_was_sent_whole() {
    let agent = Agent::new().await;
    let request = Request::post("/").header("host", "localhost").body(Endless.boxed_unsync()).unwrap();
    let (answered, mut connection) = tokio::join!(agent.upstream.send(request), async {
        let mut connection = agent.accept().await;
        connection.read_u8().await.unwrap();
        connection.write_all(LENGTH.as_bytes()).await.unwrap();
        connection
    });
    assert_eq!(read(answered.unwrap()).await, "abc");
    agent.first_round_trip(LENGTH).await;
    assert_eq!(agent.n_dials(), 2, "the first one still had a request to send");
    closed(&mut connection).await;
}

#[tokio::test]
async fn a_kept_connection_is_closed_after_a_second() {
    let agent = Agent::new().await;
    let mut connection = agent.first_round_trip(LENGTH).await;
    let kept_for = tokio::time::Instant::now();
    closed(&mut connection).await;
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&kept_for.elapsed()));
    assert_eq!(agent.upstream.pool.len(), 0);
}

#[tokio::test]
async fn closing_the_pool_closes_what_it_keeps_and_keeps_no_more() {
    let agent = Agent::new().await;
    let mut connection = agent.first_round_trip(LENGTH).await;
    agent.upstream.close_idle();
    closed(&mut connection).await;
    agent.upstream.close();
    let mut connection = agent.first_round_trip(LENGTH).await;
    closed(&mut connection).await;
    assert_eq!(agent.n_dials(), 2);
}
