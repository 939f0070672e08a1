//! A good answer: status and JSON.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::error::Error;

/// Returns 200 with `body`: what was asked for.
pub(crate) fn ok(body: impl Serialize) -> Result<Response<Full<Bytes>>, Error> {
    json(StatusCode::OK, &body)
}

/// Returns 202 with `body`: what has begun.
pub(crate) fn accepted(body: impl Serialize) -> Result<Response<Full<Bytes>>, Error> {
    json(StatusCode::ACCEPTED, &body)
}

/// Returns 201 with `body`: what is there now.
pub(crate) fn created(body: impl Serialize) -> Result<Response<Full<Bytes>>, Error> {
    json(StatusCode::CREATED, &body)
}

/// Returns 204: it is done, and there is nothing to say.
pub(crate) fn done() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Returns `body` as rest-json has it.
fn json(status: StatusCode, body: &impl Serialize) -> Result<Response<Full<Bytes>>, Error> {
    let bytes = serde_json::to_vec(body).map_err(Error::Unwritable)?;
    let mut response = Response::new(Full::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
