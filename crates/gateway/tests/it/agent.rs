//! An agent on plain sockets: what it does is a list of steps, so that it can also do what no HTTP library would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// What an agent does about one request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(Bytes),
    /// Writes the same again and again until the other side has had enough.
    WriteForEver(Bytes),
    /// Waits until the test says [`Agent::go_on`].
    Wait,
    /// Waits until the other side closes.
    WaitForClose,
    Close,
}

pub(crate) fn write(text: impl Into<String>) -> Step {
    Step::Write(Bytes::from(text.into()))
}

/// Returns the steps of a whole JSON answer.
pub(crate) fn json(body: &str) -> Vec<Step> {
    vec![write(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))]
}

/// Returns the head of an answer in chunks.
pub(crate) fn chunked_head() -> Step {
    write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// Returns one chunk.
pub(crate) fn chunk(text: &str) -> Step {
    write(format!("{:x}\r\n{text}\r\n", text.len()))
}

/// One request as the agent got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Request line and headers, names in lower case, sorted but for the first.
    pub(crate) head: Vec<String>,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    steps: Mutex<Vec<Step>>,
    /// Whether it does its steps without reading the request.
    is_deaf: AtomicBool,
    received: Mutex<Vec<Received>>,
    go_on: Notify,
    closed: Notify,
}

impl Agent {
    /// Returns an agent that does `steps` about every request.
    pub(crate) async fn new(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, go_on, closed) = (Mutex::default(), Notify::new(), Notify::new());
        let is_deaf = AtomicBool::new(false);
        let shared = Arc::new(Shared { steps: Mutex::new(steps), is_deaf, received, go_on, closed });
        let (tasks, served) = (TaskTracker::new(), shared.clone());
        tasks.clone().spawn(async move {
            loop {
                let connection = listener.accept().await.unwrap().0;
                tasks.spawn(serve(connection, served.clone()));
            }
        });
        Self { address, shared }
    }

    /// Changes what the agent does about requests from now on.
    pub(crate) fn does(&self, steps: Vec<Step>) {
        *self.shared.steps.lock() = steps;
        self.shared.is_deaf.store(false, Ordering::SeqCst);
    }

    /// Changes what the agent does about connections from now on: this, without reading a byte.
    pub(crate) fn does_unasked(&self, steps: Vec<Step>) {
        *self.shared.steps.lock() = steps;
        self.shared.is_deaf.store(true, Ordering::SeqCst);
    }

    /// Ends one [`Step::Wait`].
    pub(crate) fn go_on(&self) {
        self.shared.go_on.notify_one();
    }

    /// Waits until a [`Step::WaitForClose`] has ended.
    pub(crate) async fn saw_close(&self) {
        self.shared.closed.notified().await;
    }

    pub(crate) fn n_received(&self) -> usize {
        self.shared.received.lock().len()
    }

    /// Returns the request that came last.
    pub(crate) fn last(&self) -> Received {
        self.shared.received.lock().last().expect("a request reached the agent").clone()
    }
}

async fn serve(mut connection: TcpStream, shared: Arc<Shared>) {
    loop {
        if !shared.is_deaf.load(Ordering::SeqCst) {
            let Some(request) = receive(&mut connection).await else { return };
            shared.received.lock().push(request);
        }
        let steps = shared.steps.lock().clone();
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    if connection.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::WriteForEver(bytes) => while connection.write_all(&bytes).await.is_ok() {},
                Step::Wait => shared.go_on.notified().await,
                Step::WaitForClose => {
                    let _ = connection.read_to_end(&mut Vec::new()).await;
                    shared.closed.notify_one();
                    return;
                }
                Step::Close => return,
            }
        }
    }
}

async fn receive(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(head_len);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().lines();
    let request_line = lines.next().unwrap().to_owned();
    let mut headers: Vec<_> = lines.map(str::to_owned).collect();
    headers.sort();
    let head = std::iter::once(request_line).chain(headers).collect();
    let mut received = Received { head, body: Bytes::new() };
    // Agents on plain libraries know nothing else; without it this panics, as they would.
    let is_bare = received.header("upgrade").is_some() || received.head[0].starts_with("GET ");
    let len = received.header("content-length").or_else(|| is_bare.then_some("0")).expect("a length");
    let len: usize = len.parse().unwrap();
    while body.len() < len {
        assert_ne!(connection.read_buf(&mut body).await.unwrap(), 0, "body ended early");
    }
    received.body = body.into();
    Some(received)
}
