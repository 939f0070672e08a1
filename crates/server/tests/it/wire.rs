//! HTTP by hand: what no client library would send, and what came back for it.

use innkeep_auth::sigv4::{self, Credentials};
use innkeep_types::{Clock, SystemClock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for anything, short enough to be waited for.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// One connection to the server.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: S,
    received: Vec<u8>,
}

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes; a server that has hung up is what the answer is about.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Returns the next answer; none if the connection ends before it does.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(SOON, self.read_answer()).await.expect("an answer or the end of the connection")
    }

    /// Waits for the end of the connection. Returns whether anything came before it.
    pub(crate) async fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        let _ = timeout(SOON, self.stream.read_to_end(&mut rest)).await.expect("the connection's end");
        self.received.is_empty() && rest.is_empty()
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let head_len = loop {
            match self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8(self.received.drain(..head_len).collect()).unwrap().to_lowercase();
        let status = head[9..12].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.expect("a length").parse().unwrap();
        while self.received.len() < length {
            self.more().await?;
        }
        let body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        Some(Answer { status, head, body })
    }

    async fn more(&mut self) -> Option<()> {
        let n = self.stream.read_buf(&mut self.received).await.ok()?;
        (n > 0).then_some(())
    }
}

/// A request that can be signed and then spoilt.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) digest: [u8; 32],
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Draft {
    /// Returns request line and headers, signed; framing and the empty line are the test's to add.
    pub(crate) fn sign(self, credentials: &Credentials) -> String {
        let Self { method, target, digest, headers } = self;
        let mut signed = HeaderMap::new();
        signed.insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            signed.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        sigv4::sign(credentials, "us-west-2", &method, &target, &mut signed, &digest, SystemClock.now()).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &signed {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        head
    }
}
