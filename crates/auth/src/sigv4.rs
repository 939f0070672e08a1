//! AWS Signature Version 4: verifying requests, and signing them. Signatures in the head; for what cannot set headers (browsers
//! that open a WebSocket), in the query.
//!
//! Verifying has two halves, because the head of a request comes before its body. [`Signed::parse`] needs no secret: it refuses
//! what is malformed or stale and writes the canonical request down but for its last line. [`Signed::verify`] is then given the
//! secret and the body's digest. [`Presigned`] does the same for a signature in the query. Source: IAM guide, "Create a signed AWS API request".
//!
//! ```text
//! canonical request = method \n path \n query \n headers \n signed headers \n body digest       canonical.rs
//! string to sign    = AWS4-HMAC-SHA256 \n date \n scope \n digest of the canonical request      signed.rs
//! signing key       = HMAC over the secret and the scope's four parts                           keys.rs
//! ```

mod authorization;
mod canonical;
mod error;
mod keys;
mod parameters;
mod presigned;
mod sign;
mod signed;
mod stamp;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use keys::SigningKeys;
pub use presigned::Presigned;
pub use sign::{Credentials, sign};
pub use signed::Signed;

/// The signing name of both APIs. Source: service model, `signingName`.
const SERVICE: &str = "bedrock-agentcore";

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How every scope ends.
const TERMINATOR: &str = "aws4_request";

/// When the request was signed. Goes before `Date`.
const DATE: http::HeaderName = http::HeaderName::from_static("x-amz-date");

/// What the client says the body's digest is.
const CONTENT_SHA256: http::HeaderName = http::HeaderName::from_static("x-amz-content-sha256");

/// What belongs to temporary keys.
const SECURITY_TOKEN: http::HeaderName = http::HeaderName::from_static("x-amz-security-token");

/// Returns what is signed: `canonical` is the canonical request but for its last line, which is made of `body`.
fn string_to_sign(date: &str, scope: &str, canonical: &[u8], body: &[u8; 32]) -> Vec<u8> {
    let mut digest = crate::Digest::new();
    digest.update(canonical);
    digest.update(&crate::sha256::to_hex(body));
    let digest = crate::sha256::to_hex(&digest.finish());
    [ALGORITHM.as_bytes(), b"\n", date.as_bytes(), b"\n", scope.as_bytes(), b"\n", &digest].concat()
}
