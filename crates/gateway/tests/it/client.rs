//! A client of the data plane that signs, unless told otherwise.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use innkeep_auth::sigv4::{self, Credentials};
use innkeep_types::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::world::{ARN, OPERATOR_KEY, SECRET, SESSION};

/// One connection to the gateway; dropping it closes it.
pub(crate) struct Client {
    requests: http1::SendRequest<Full<Bytes>>,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

impl Client {
    pub(crate) async fn new(stream: TcpStream) -> Self {
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = TaskTracker::new().spawn(connection);
        Self { requests, _connection: AbortOnDropHandle::new(connection) }
    }

    /// Sends a request and returns its answer, whose body streams.
    pub(crate) async fn open(&mut self, call: Call) -> Response<Incoming> {
        self.requests.ready().await.unwrap();
        self.requests.send_request(call.sign()).await.unwrap()
    }

    /// Sends a request and returns its answer, read to its end.
    pub(crate) async fn send(&mut self, call: Call) -> Answer {
        let (head, body) = self.open(call).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns status, exception, blame and body of an error, for snapshots.
    pub(crate) fn error(&self) -> String {
        let (exception, source) = (self.header("x-amzn-errortype"), self.header("x-innkeep-error-source"));
        let mut text = format!("{} {exception} ({source})\n", self.status.as_u16());
        write!(text, "{}", self.json()).unwrap();
        text
    }
}

/// A request to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whose signature; none for none.
    pub(crate) key: Option<&'static str>,
    /// What is signed for the body's digest, if not the body.
    pub(crate) signed_body: Option<Bytes>,
    /// How far its clock is ahead.
    pub(crate) ahead: Duration,
}

impl Call {
    /// Returns an invocation of the runtime in the session that all tests use.
    pub(crate) fn invoke(body: impl Into<Bytes>) -> Self {
        Self::to(&format!("/runtimes/{}/invocations", encode(ARN)), body).header("content-type", "application/json")
    }

    /// Returns a stop of that session.
    pub(crate) fn stop() -> Self {
        Self::to(&format!("/runtimes/{}/stopruntimesession", encode(ARN)), "{}")
    }

    pub(crate) fn to(path: &str, body: impl Into<Bytes>) -> Self {
        let call = Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: body.into(),
            key: Some(OPERATOR_KEY),
            signed_body: None,
            ahead: Duration::ZERO,
        };
        call.session(SESSION)
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn session(self, id: &str) -> Self {
        self.header("x-amzn-bedrock-agentcore-runtime-session-id", id)
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn key(mut self, key: Option<&'static str>) -> Self {
        self.key = key;
        self
    }

    /// Shows a token, and signs nothing.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.key(None).header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn sign(self) -> Request<Full<Bytes>> {
        let Self { method, path, mut headers, body, key, signed_body, ahead } = self;
        headers.insert("host", HeaderValue::from_static("localhost"));
        if let Some(key) = key {
            let credentials =
                Credentials { access_key_id: key.to_owned(), secret: SECRET.to_owned(), session_token: None };
            let digest = innkeep_auth::digest(signed_body.as_ref().unwrap_or(&body));
            sigv4::sign(
                &credentials,
                "us-west-2",
                &method,
                &path,
                &mut headers,
                &digest,
                SystemClock.now().plus(ahead),
            )
            .unwrap();
        }
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body)).unwrap();
        *request.headers_mut() = headers;
        request
    }
}

/// Returns an ARN as SDKs put it into a path.
pub(crate) fn encode(arn: &str) -> String {
    arn.replace(':', "%3A").replace('/', "%2F")
}
