//! The client: where the server is, who asks, and how one call is signed, sent and read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::upgrade::Upgraded;
use innkeep_auth::sigv4::{self, Credentials};
use innkeep_protocol::headers;
use innkeep_types::{AccountId, Clock, Region, SystemClock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::body::{Payload, PayloadBody};
use crate::connection::{self, ResponseBody};
use crate::error::Error;
use crate::transport::{Stream, Tls};

/// Time to a connection. Source: our choice; the server is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to the whole answer of a call that has no reason to take long. Source: our choice, boto3's read timeout.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The most that is read of an answer that is not streamed, bytes. Source: our choice; a thousand runtimes are 400 KiB.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// `x-amz-content-sha256`: lets the server refuse a wrong body early, and stream a right one.
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Every character but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a server is, and the names under which it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its base URL: `http://host[:port]`, or with `https`.
    pub url: String,
    /// The region that requests are signed for and ARNs name.
    pub region: Region,
    /// The account that ARNs name.
    pub account: AccountId,
}

/// Client of one server with one key, or with none: then only what is open to everybody answers.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    credentials: Option<Credentials>,
    host: String,
    port: u16,
    authority: HeaderValue,
    /// None: plain HTTP.
    tls: Option<Tls>,
    ca: Option<PathBuf>,
}

/// One call, before it is signed.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// To the head of the answer.
    pub(crate) timeout: Duration,
}

impl Call {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        let payload = Payload::Bytes(Bytes::new());
        Self { method, target: target.into(), headers: HeaderMap::new(), payload, timeout: CALL_TIMEOUT }
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        self.payload = Payload::Bytes(serde_json::to_vec(body).map_err(Error::Encode)?.into());
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }
}

impl Client {
    /// Returns a client of the server at `endpoint`. Does not connect. Over TLS it trusts the CAs of this system.
    ///
    /// # Errors
    /// [`Error::Url`] if the URL is not `http://host[:port]` or `https://host[:port]`.
    pub fn new(endpoint: Endpoint, credentials: impl Into<Option<Credentials>>) -> Result<Self, Error> {
        Self::trusting(endpoint, credentials, None)
    }

    /// Returns a client that over TLS trusts the CAs in the file `ca`, in PEM, and no others; without one those of this system.
    ///
    /// # Errors
    /// [`Error::Ca`] if that file cannot be used; else those of [`Client::new`].
    pub fn trusting(
        endpoint: Endpoint,
        credentials: impl Into<Option<Credentials>>,
        ca: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let refuse = |reason| Error::Url { url: endpoint.url.clone(), reason };
        let uri: Uri = endpoint.url.parse().map_err(|_| refuse("it is not a URL; expected http://host:port"))?;
        let with_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse("it begins neither with http:// nor with https://")),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() {
            return Err(refuse("it must not have a path or a query"));
        }
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if with_tls { 443 } else { 80 });
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| refuse("its host is not a host name"))?;
        let ca = ca.filter(|_| with_tls);
        let tls = with_tls.then(|| Tls::new(&host, ca.as_deref())).transpose();
        let tls = tls.map_err(|source| match ca.clone() {
            Some(path) => Error::Ca { path, source },
            None => Error::Tls { url: endpoint.url.clone(), source },
        })?;
        Ok(Self { host, port, authority, tls, ca, endpoint, credentials: credentials.into() })
    }

    /// Returns the file of the CAs that it trusts; none if those are this system's, or there is no TLS.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Returns where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns who asks.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Tells whether a ready server answers `GET /healthz`.
    pub async fn is_healthy(&self) -> bool {
        let mut call = Call::new(Method::GET, "/healthz");
        call.timeout = CONNECT_TIMEOUT;
        self.send(call).await.is_ok()
    }

    /// Signs and sends `call`; returns the response if its status is 2xx, and it is none of the errors that are told so.
    pub(crate) async fn send(&self, call: Call) -> Result<Response<ResponseBody>, Error> {
        let timeout = call.timeout;
        let within = |_| Error::Timeout { waited: timeout };
        let mut response = tokio::time::timeout(timeout, self.exchange(call)).await.map_err(within)??;
        let status = response.status();
        if status.is_success() && !response.headers().contains_key(headers::AMZN_ERROR_TYPE) {
            return Ok(response);
        }
        Err(refusal(&mut response, timeout).await)
    }

    /// Signs and sends `call`; returns the answer's headers and the connection if the server upgrades it.
    pub(crate) async fn upgrade(&self, call: Call) -> Result<(HeaderMap, Upgraded), Error> {
        let timeout = call.timeout;
        let within = |_| Error::Timeout { waited: timeout };
        let upgraded = async {
            let (stream, request) = self.prepare(call).await?;
            connection::upgrade(stream, request).await.map_err(Error::Broken)
        };
        match tokio::time::timeout(timeout, upgraded).await.map_err(within)?? {
            (head, Ok(stream)) => Ok((head.headers, stream)),
            (head, Err(_)) if head.status.is_success() => Err(Error::NoWebSocket(head.status)),
            (head, Err(body)) => Err(refusal(&mut Response::from_parts(head, body), timeout).await),
        }
    }

    /// Sends `call` and returns its JSON answer, all within the call's time.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let timeout = call.timeout;
        let answer = async {
            let body = self.send(call).await?.body_mut().collect(MAX_ANSWER_BYTES).await?;
            serde_json::from_slice(&body).map_err(Error::Decode)
        };
        tokio::time::timeout(timeout, answer).await.map_err(|_| Error::Timeout { waited: timeout })?
    }

    async fn exchange(&self, call: Call) -> Result<Response<ResponseBody>, Error> {
        let (stream, request) = self.prepare(call).await?;
        connection::exchange(stream, request).await.map_err(Error::Broken)
    }

    /// Signs `call` and connects.
    async fn prepare(&self, call: Call) -> Result<(Box<dyn Stream>, Request<PayloadBody>), Error> {
        let Call { method, target, mut headers, payload, timeout: _ } = call;
        let (body, digest) = payload.prepare().await.map_err(Error::Payload)?;
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("innkeep/", env!("CARGO_PKG_VERSION"))));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        headers.insert(CONTENT_SHA256, HeaderValue::try_from(hex).map_err(|e| Error::Request(e.into()))?);
        // Who shows a token shows no signature: a server takes one or the other.
        if let Some(credentials) = self.credentials.as_ref().filter(|_| !headers.contains_key(AUTHORIZATION)) {
            let region = self.endpoint.region.as_str();
            let now = SystemClock.now();
            sigv4::sign(credentials, region, &method, &target, &mut headers, &digest, now).map_err(Error::Sign)?;
        }
        let mut request = Request::builder().method(method).uri(target).body(body).map_err(Error::Request)?;
        *request.headers_mut() = headers;

        Ok((self.connect().await?, request))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let refuse = |source| Error::Connect { url: self.endpoint.url.clone(), source };
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|elapsed| refuse(elapsed.into()))?
            .map_err(refuse)?;
        // Small requests must not wait for the acknowledgement of the ones before them; failing to say so costs only time.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let refuse = |source| Error::Tls { url: self.endpoint.url.clone(), source };
        let handshake = tokio::time::timeout(CONNECT_TIMEOUT, tls.handshake(stream));
        handshake.await.map_err(|elapsed| refuse(elapsed.into()))?.map_err(refuse)
    }
}

/// Returns what a refusal says.
async fn refusal(response: &mut Response<ResponseBody>, timeout: Duration) -> Error {
    let body = tokio::time::timeout(timeout, response.body_mut().collect(MAX_ANSWER_BYTES)).await;
    match body {
        Ok(body) => Error::from_response(response.status(), response.headers(), &body.unwrap_or_default()),
        Err(_) => Error::Timeout { waited: timeout },
    }
}

/// Percent-encodes one path segment or query value.
pub(crate) fn encode(s: &str) -> String {
    utf8_percent_encode(s, RESERVED).to_string()
}

/// Returns `path` with those `parameters` that have a value, in the order given.
pub(crate) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut target = path.to_owned();
    let given = parameters.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    for (i, (name, value)) in given.enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        target.push_str(&encode(value));
    }
    target
}
