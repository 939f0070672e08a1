//! Why an operation was refused or failed, and how that looks on the wire: the only place with an error's status.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use innkeep_auth::policy::Denial;
use innkeep_protocol::error_shape::{ErrorBody, Shape, ValidationReason, shape};
use innkeep_protocol::headers;
use innkeep_types::ErrorKind;

use crate::validate::Violations;

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(Violations),
    #[error("request body is not valid JSON: {0}")]
    CannotParse(serde_json::Error),
    /// Boxed: it is rare, and large.
    #[error("{0}")]
    Denied(Box<Denial>),
    #[error(transparent)]
    Store(#[from] innkeep_store::Error),
    #[error("resource {0} does not exist")]
    NoResource(String),
    #[error("resource {0} has no policy")]
    NoPolicy(String),
    #[error("this version of Innkeep does not have the operation {method} {path} yet")]
    NotYet { method: Method, path: String },
    #[error("the host has no randomness for an id")]
    NoRandomness(#[source] getrandom::Error),
    #[error("the operation ended without an answer")]
    Lost(#[source] tokio::task::JoinError),
    #[error("what passed the table of its operation could not be read")]
    Misread(#[source] serde_json::Error),
    #[error("JSON could not be written")]
    Unwritable(#[source] serde_json::Error),
}

impl Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::CannotParse(_) => ErrorKind::Validation,
            Self::Denied(_) => ErrorKind::AccessDenied,
            Self::Store(source) => source.kind(),
            Self::NoResource(_) | Self::NoPolicy(_) | Self::NotYet { .. } => ErrorKind::NotFound,
            Self::NoRandomness(_) | Self::Lost(_) | Self::Misread(_) | Self::Unwritable(_) => ErrorKind::Internal,
        }
    }

    /// Returns the error as rest-json has it. Ends the error's way: a defect of ours is logged here, and its cause told to
    /// nobody else.
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let kind = self.kind();
        // For the audit log.
        let denial = if let Self::Denied(denial) = &self { Some(Denial::clone(denial)) } else { None };
        let message = match kind {
            ErrorKind::Internal | ErrorKind::Unavailable => {
                tracing::error!(error = &self as &dyn std::error::Error, "a control-plane operation failed: {self}");
                "an internal error occurred; the server's log has its cause".to_owned()
            }
            _ => self.to_string(),
        };
        let Shape { status, exception } = match self {
            Self::NotYet { .. } => Shape { exception: "UnknownOperationException", ..shape(kind) },
            _ => shape(kind),
        };
        let (reason, field_list) = match self {
            Self::Invalid(violations) => (Some(ValidationReason::FieldValidationFailed), violations.into_fields()),
            Self::CannotParse(_) => (Some(ValidationReason::CannotParse), Vec::new()),
            Self::Store(innkeep_store::Error::TokenMismatch) => {
                (Some(ValidationReason::IdempotentParameterMismatch), Vec::new())
            }
            _ => (None, Vec::new()),
        };
        let body = ErrorBody { message, reason, field_list, ..ErrorBody::default() };
        let mut response = Response::new(Full::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(denial) = denial {
            response.extensions_mut().insert(denial);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(headers::AMZN_ERROR_TYPE, HeaderValue::from_static(exception));
        headers.insert(headers::ERROR_SOURCE, HeaderValue::from_static(kind.blame().as_str()));
        response
    }
}
