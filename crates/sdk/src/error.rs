//! Why a call failed, as the caller of the API has to tell the cases apart.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use innkeep_protocol::error_shape::{ErrorBody, shape};
use innkeep_protocol::{error_envelope, headers};
use innkeep_types::ErrorKind;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's URL cannot be used.
    #[error("cannot use the server URL {url}: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers at the server's address.
    #[error("no server answers at {url}")]
    Connect {
        /// The server's URL.
        url: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of the CA to trust cannot be used.
    #[error("cannot use the CA in {path}")]
    Ca {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server's certificate is not trusted, or what answers speaks no TLS.
    #[error("no TLS connection to {url}")]
    Tls {
        /// The server's URL.
        url: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server did not answer in time.
    #[error("the server did not answer within {waited:?}")]
    Timeout {
        /// For how long the call waited.
        waited: Duration,
    },
    /// The connection broke before the answer had begun.
    #[error("the connection to the server broke")]
    Broken(#[source] hyper::Error),
    /// The connection broke after the answer had begun: what was read of the body is a part.
    #[error("the answer broke off in mid-stream")]
    BrokenOff(#[source] hyper::Error),
    /// What came is no stream of events, or came damaged.
    #[error("the answer cannot be understood")]
    EventStream(#[source] innkeep_protocol::event_stream::Error),
    /// A WebSocket was asked for, and the server answered with this status.
    #[error("the server does not speak WebSocket here: it answered {0}")]
    NoWebSocket(StatusCode),
    /// A WebSocket is of no more use.
    #[error("{0}")]
    WebSocket(&'static str),
    /// A file or payload to be sent could not be read.
    #[error("cannot read what is to be sent")]
    Payload(#[source] std::io::Error),
    /// The request could not be made: a header or path holds what HTTP cannot carry.
    #[error("cannot make the request")]
    Request(#[source] http::Error),
    /// The request could not be signed.
    #[error("cannot sign the request")]
    Sign(#[source] innkeep_auth::sigv4::Error),
    /// A request's body could not be written as JSON.
    #[error("cannot write the request as JSON")]
    Encode(#[source] serde_json::Error),
    /// The server answered something else than the API says.
    #[error("the server's answer is not what the API says; is this an Innkeep server?")]
    Decode(#[source] serde_json::Error),
    /// The server refused, or the agent failed: an error of the API.
    #[error("{message}")]
    Service {
        /// The HTTP status.
        status: StatusCode,
        /// The exception's name, from `x-amzn-ErrorType`; empty if the answer had none.
        exception: String,
        /// What happened, for people.
        message: String,
        /// The agent's last log lines, oldest first; only for keys with operator rights.
        log_tail: Vec<String>,
        /// The server's name for this request.
        request_id: Option<String>,
    },
}

impl Error {
    /// Returns what to do about it. Failures of transport are [`ErrorKind::Unavailable`]: the server could not be asked.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } | Self::Ca { .. } | Self::Request(_) | Self::Payload(_) => ErrorKind::Validation,
            Self::Connect { .. } | Self::Tls { .. } | Self::Timeout { .. } | Self::Broken(_) => ErrorKind::Unavailable,
            Self::BrokenOff(_) | Self::WebSocket(_) => ErrorKind::Agent,
            Self::NoWebSocket(_) => ErrorKind::Validation,
            Self::Sign(source) => source.kind(),
            Self::Encode(_) | Self::Decode(_) | Self::EventStream(_) => ErrorKind::Internal,
            Self::Service { status, exception, .. } => service_kind(*status, exception),
        }
    }

    /// Returns the error that a response means, by its status or by the name of an exception.
    pub(crate) fn from_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        // `Name:http://…` and `prefix#Name` are spellings that clients of rest-json must accept.
        let exception = text(headers::AMZN_ERROR_TYPE).unwrap_or_default();
        let exception = exception.split(':').next().unwrap_or_default();
        let exception = exception.rsplit('#').next().unwrap_or_default().to_owned();
        let parsed: ErrorBody = error_envelope::open(body);
        let message = match (parsed.message.is_empty(), status.canonical_reason()) {
            (false, _) => parsed.message,
            (true, Some(reason)) => format!("the server answered {} {reason}", status.as_u16()),
            (true, None) => format!("the server answered {}", status.as_u16()),
        };
        let request_id = text(headers::AMZN_REQUEST_ID).map(str::to_owned);
        Self::Service { status, exception, message, log_tail: parsed.log_tail, request_id }
    }
}

/// The kinds of error that an exception's name alone tells.
const NAMED: [ErrorKind; 9] = [
    ErrorKind::Agent,
    ErrorKind::AgentTimeout,
    ErrorKind::Validation,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::RetryableConflict,
    ErrorKind::Throttled,
    ErrorKind::Quota,
    ErrorKind::Unavailable,
];

fn service_kind(status: StatusCode, exception: &str) -> ErrorKind {
    match (status.as_u16(), exception) {
        (409, "RetryableConflictException") => ErrorKind::RetryableConflict,
        // What MCP and AG-UI have no status for.
        (200 | 500, name) => {
            NAMED.into_iter().find(|kind| shape(*kind).exception == name).unwrap_or(ErrorKind::Internal)
        }
        (401, _) => ErrorKind::Unauthorized,
        (402, _) => ErrorKind::Quota,
        (403, _) => ErrorKind::AccessDenied,
        (404, _) => ErrorKind::NotFound,
        (406, _) => ErrorKind::NotAcceptable,
        (409, _) => ErrorKind::Conflict,
        (424, _) => ErrorKind::Agent,
        (429, _) => ErrorKind::Throttled,
        (503, _) => ErrorKind::Unavailable,
        (504, _) => ErrorKind::AgentTimeout,
        (400..=499, _) => ErrorKind::Validation,
        _ => ErrorKind::Internal,
    }
}
