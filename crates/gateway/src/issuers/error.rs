//! Why an issuer's keys could not be had. For the log: callers are told that, and no more.

use http::StatusCode;
use innkeep_auth::jwt;
use innkeep_types::limits;

use crate::error::BoxError;

/// Why an issuer's keys could not be had. `what` is one of its two documents.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what} could not be fetched{}", hint(source))]
    Fetch {
        what: &'static str,
        #[source]
        source: innkeep_fetch::Error,
    },
    #[error("{what}: the answer was {status}")]
    Status { what: &'static str, status: StatusCode },
    #[error("{what}: sent on more than {} times", limits::MAX_ISSUER_REDIRECTS)]
    TooManyRedirects { what: &'static str },
    #[error("{what}: sent on to what is no URL, or from https to http")]
    BadRedirect { what: &'static str },
    #[error("the discovery document is not one: {0}")]
    Discovery(String),
    #[error(transparent)]
    Keys(#[from] jwt::Error),
    #[error("the certificate of its CA, which the runtime names, could not be had")]
    Certificate(#[source] BoxError),
    #[error("the issuer did not answer within {} s", limits::ISSUER_TIMEOUT.as_secs())]
    Late,
    #[error("the server is stopping")]
    Stopping,
}

/// Returns what the operator can do about it.
fn hint(error: &innkeep_fetch::Error) -> &'static str {
    match error {
        innkeep_fetch::Error::Private { .. } => "; if that is meant, name its addresses in jwt_private_issuers",
        innkeep_fetch::Error::PlainHttp { .. } => {
            "; use https, or, for addresses in jwt_private_issuers, allow it by jwt_plain_http_issuers"
        }
        innkeep_fetch::Error::Untrusted { .. } => "; name the file of a private CA in jwt_ca_file",
        _ => "",
    }
}
