//! Answers of the operator API, and of the server itself, in the envelope that the AWS planes use.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use innkeep_auth::sigv4;
use innkeep_protocol::error_shape::{ErrorBody, shape};
use innkeep_protocol::headers;
use innkeep_types::ErrorKind;
use serde::Serialize;

/// Every answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a request was refused, with the words for its caller.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The name that AWS has for this very error, where it is another than that of its kind.
    exception: Option<&'static str>,
    /// In how many seconds it is worth to ask again, if that is known.
    pub(crate) retry_after: Option<u64>,
}

impl Refused {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), exception: None, retry_after: None }
    }

    /// Refuses who did not prove who they are.
    pub(crate) fn signature(error: &sigv4::Error) -> Self {
        Self { exception: error.exception(), ..Self::new(error.kind(), error.to_string()) }
    }

    /// Hides the cause of an error of ours from the caller and logs it, here where it stops travelling.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "request failed");
        Self::new(ErrorKind::Internal, "Internal error; the server's log has the cause")
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let shape = shape(self.kind);
        let body = ErrorBody { message: self.message, ..ErrorBody::default() };
        let mut response = json(shape.status, &body);
        let headers = response.headers_mut();
        headers.insert(headers::AMZN_ERROR_TYPE, HeaderValue::from_static(self.exception.unwrap_or(shape.exception)));
        headers.insert(headers::ERROR_SOURCE, HeaderValue::from_static(self.kind.blame().as_str()));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Returns `value` as JSON.
pub(crate) fn json(status: u16, value: &impl Serialize) -> Response<Body> {
    let (status, body) = match serde_json::to_vec(value) {
        Ok(body) => (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(crate) fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}
