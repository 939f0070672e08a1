//! Signing a request: the client's half.

use std::fmt;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method};
use innkeep_types::UnixMillis;
use ring::hmac;

use super::canonical::{canonical, normalize, split_target};
use super::stamp::Stamp;
use super::{ALGORITHM, DATE, Error, SECURITY_TOKEN, SERVICE, TERMINATOR, keys, string_to_sign};
use crate::sha256::to_hex;

/// Headers that proxies and HTTP clients change on the way. Source: botocore, `SIGNED_HEADERS_BLACKLIST`.
const UNSIGNED: [&str; 12] = [
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Who signs.
#[derive(Clone)]
pub struct Credentials {
    /// `AKIA…`.
    pub access_key_id: String,
    /// The secret.
    pub secret: String,
    /// For temporary keys.
    pub session_token: Option<String>,
}

/// Shows the access key id only.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Signs the head of a request: adds `x-amz-date`, `authorization` (and `x-amz-security-token`) to `headers`, which must hold
/// `host` already. All headers present are signed, except those that proxies and clients change on the way. Signing again
/// replaces the first signature.
///
/// # Errors
/// `Absent` without a `host`, `Unsignable` if the credentials, the region or the time do not fit into a header.
pub fn sign(
    credentials: &Credentials,
    region: &str,
    method: &Method,
    raw_target: &str,
    headers: &mut HeaderMap,
    body_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<(), Error> {
    if !headers.contains_key(HOST) {
        return Err(Error::Absent { header: HOST.as_str().to_owned() });
    }
    let stamp = Stamp::from_unix_secs(now.as_secs()).ok_or(Error::Unsignable("date"))?;
    headers.insert(DATE, to_header(stamp.as_str(), "date")?);
    if let Some(token) = &credentials.session_token {
        let mut token = to_header(token, "session token")?;
        token.set_sensitive(true);
        headers.insert(SECURITY_TOKEN, token);
    }
    let mut names: Vec<&str> =
        headers.keys().map(http::HeaderName::as_str).filter(|name| !UNSIGNED.contains(name)).collect();
    names.sort_unstable();
    let signed_headers = names.join(";");

    let (path, query) = split_target(raw_target);
    let canonical = canonical(method, &normalize(path), query, &signed_headers, headers)?;
    let scope = format!("{}/{region}/{SERVICE}/{TERMINATOR}", stamp.day());
    let text = string_to_sign(stamp.as_str(), &scope, &canonical, body_sha256);
    let tag = hmac::sign(&keys::derive(&credentials.secret, &scope), &text);
    let signature = tag.as_ref().try_into().map(to_hex).expect("an HMAC-SHA-256 has 32 bytes");
    let key_id = &credentials.access_key_id;
    let mut value =
        format!("{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={signed_headers}, Signature=").into_bytes();
    value.extend_from_slice(&signature);
    let mut value = HeaderValue::from_maybe_shared(value).map_err(|_| Error::Unsignable("access key id or region"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn to_header(text: &str, what: &'static str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::Unsignable(what))
}
