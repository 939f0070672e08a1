//! One request and its answer, whose body streams.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use crate::connect::{Connector, Stream};
use crate::{Error, Reach, Roots};

/// How long each step of a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Name look-up, connection and TLS handshake together.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub head: Duration,
    /// The longest pause within the answer's body.
    pub stall: Duration,
    /// How long an answer's body may take for [`WINDOW_BYTES`].
    pub window: Duration,
}

/// The least that a body brings in [`Deadlines::window`], bytes: 16 KiB a second. A sender that lets a byte drip now and then never
/// stalls, and would hold for ever whoever waits for it. Source: our choice; a tenth of the slowest line that images are pulled over.
const WINDOW_BYTES: u64 = 60 * (16 << 10);

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            head: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            window: Duration::from_secs(60),
        }
    }
}

/// Handle to the client; clones share its TLS configuration. One connection serves one request.
#[derive(Debug, Clone, Default)]
pub struct Http {
    connector: Arc<Connector>,
    deadlines: Deadlines,
}

/// The head of an answer, and its body to be read.
#[derive(Debug)]
pub struct Answer {
    /// Whatever it is.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// What is left to be read.
    pub body: Body,
}

impl Http {
    /// Returns a client that connects where `reach` lets it, and that trusts `roots` besides the CA certificates of this system.
    pub fn new(reach: Reach, roots: Roots, deadlines: Deadlines) -> Self {
        Self { connector: Arc::new(Connector::new(reach, roots)), deadlines }
    }

    /// Sends a GET with `headers`; `Host` and `User-Agent` are added. Any status is an answer.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn get(&self, uri: &Uri, headers: HeaderMap) -> Result<Answer, Error> {
        self.send(Method::GET, uri, headers, Bytes::new()).await
    }

    /// Sends a request with a small body.
    ///
    /// # Cancel safety
    /// As [`Http::get`].
    pub async fn send(&self, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Result<Answer, Error> {
        let bad_url = || Error::Url(uri.to_string());
        let authority = authority_of(uri).ok_or_else(bad_url)?;
        let late = |doing, after| Error::Late { authority: authority.clone(), doing, after };
        let Deadlines { connect, head, stall, window } = self.deadlines;

        let connected = timeout(connect, self.connector.connect(uri)).await;
        let stream = connected.map_err(|_| late("was not reached", connect))??;
        headers.insert(header::HOST, HeaderValue::try_from(&authority).map_err(|_| bad_url())?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.path_and_query().map_or("/", PathAndQuery::as_str).parse().map_err(|_| bad_url())?;
        *request.headers_mut() = headers;

        let answered = timeout(head, exchange(stream, request)).await.map_err(|_| late("did not answer", head))?;
        let (answer, driver) =
            answered.map_err(|source| Error::Broken { authority: authority.clone(), source: source.into() })?;
        let (head, incoming) = answer.into_parts();
        let pace = Pace { window, left: window, bytes: 0 };
        let body = Body { driver, incoming, stall, pace, authority };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// An answer's body as it comes. Dropping it closes the connection.
pub struct Body {
    driver: Driver,
    incoming: Incoming,
    stall: Duration,
    pace: Pace,
    authority: String,
}

/// How fast a body comes. Time counts while somebody waits for it: who reads slowly does not make it slow.
struct Pace {
    window: Duration,
    /// Of the window that goes on.
    left: Duration,
    /// What has come in it.
    bytes: u64,
}

impl Pace {
    /// Notes what came, and how long it was waited for. False if the window is over and too little has come.
    fn note(&mut self, bytes: usize, waited: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.left = self.left.saturating_sub(waited);
        if self.bytes < WINDOW_BYTES {
            return !self.left.is_zero();
        }
        (self.left, self.bytes) = (self.window, 0);
        true
    }
}

impl Body {
    /// Returns the next piece, in whatever size it arrived; `None` after the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped and called again.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = poll_fn(|cx| {
                self.driver.poll(cx);
                Pin::new(&mut self.incoming).poll_frame(cx)
            });
            let asked_at = Instant::now();
            let frame = timeout(self.stall, frame).await;
            let bytes = match &frame {
                Ok(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
                _ => 0,
            };
            if !self.pace.note(bytes, asked_at.elapsed()) && matches!(frame, Ok(Some(Ok(_)))) {
                return Err(Error::Slow {
                    authority: self.authority.clone(),
                    bytes: WINDOW_BYTES,
                    after: self.pace.window,
                });
            }
            match frame {
                Err(_) => {
                    let (authority, after) = (self.authority.clone(), self.stall);
                    return Err(Error::Late { authority, doing: "sent nothing", after });
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(source))) => {
                    return Err(Error::Broken { authority: self.authority.clone(), source: source.into() });
                }
                // A frame without data holds trailers, which nobody here reads.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
            }
        }
    }

    /// Returns the rest of the body, which may have `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > limit {
                return Err(Error::TooLarge { authority: self.authority.clone(), limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// Returns `host:port` of `uri`, without the port if it gives none, and without user and password.
pub fn authority_of(uri: &Uri) -> Option<String> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    Some(uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// How we name ourselves to servers.
const USER_AGENT: &str = concat!("innkeep/", env!("CARGO_PKG_VERSION"));

type Exchange = Connection<TokioIo<Stream>, Full<Bytes>>;

async fn exchange(stream: Stream, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Driver), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = Driver(Some(Box::new(connection)));
    let mut sending = pin!(sender.send_request(request));
    let answer = poll_fn(|cx| {
        driver.poll(cx);
        sending.as_mut().poll(cx)
    })
    .await?;
    Ok((answer, driver))
}

/// The connection until it ends, driven by whoever waits for the answer: there is no task behind it. How it ended is told by
/// the request or the body that it served.
struct Driver(Option<Box<Exchange>>);

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && let Poll::Ready(_) = Pin::new(connection).poll(cx)
        {
            self.0 = None;
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
