//! A token's compact form, taken apart. Nothing in it is true until [`verify`](super::verify()) says so.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use innkeep_types::limits;
use serde_json::{Map, Value};

use super::{Algorithm, Error, Flaw, json};

/// A token that was taken apart and **not** verified: whoever sent it may have written it.
pub struct Token {
    /// `header.claims`, as sent: what the signature is of.
    signed: String,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
}

impl Token {
    /// Takes a token apart. *Shape*: three non-empty base64url parts without padding, and nothing around them (RFC 7515 section 3.1).
    ///
    /// # Errors
    ///
    /// [`Error::Unparsable`] for what is no such token or exceeds [`limits::MAX_TOKEN_BYTES`] and its neighbours;
    /// [`Error::Algorithm`], [`Error::Critical`] and [`Error::Type`] for a token that can never be accepted.
    pub fn parse(compact: &str) -> Result<Self, Error> {
        let [header, claims, signature] = parts(compact).map_err(Error::Unparsable)?;
        let header = object(header).map_err(Error::Unparsable)?;
        let algorithm = algorithm(&header)?;
        check_extensions(&header)?;
        check_type(&header)?;
        Ok(Self {
            algorithm,
            kid: kid(&header)?,
            claims: object(claims).map_err(Error::Unparsable)?,
            signature: decode(signature).map_err(Error::Unparsable)?,
            signed: compact[..compact.len() - signature.len() - 1].to_owned(),
        })
    }

    /// Returns the name of the key that it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns the algorithm that it says it is signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns who it says has issued it.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub(super) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Nothing of the token: claims are somebody's data, and the rest is a credential.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn parts(compact: &str) -> Result<[&str; 3], Flaw> {
    if compact.len() > limits::MAX_TOKEN_BYTES {
        return Err(Flaw::TooLong);
    }
    let mut split = compact.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (split.next(), split.next(), split.next(), split.next())
    else {
        return Err(Flaw::Parts);
    };
    if header.is_empty() || claims.is_empty() || signature.is_empty() {
        return Err(Flaw::Parts);
    }
    if header.len() > limits::MAX_TOKEN_HEADER_BYTES {
        return Err(Flaw::TooLong);
    }
    Ok([header, claims, signature])
}

fn decode(part: &str) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Base64)
}

fn object(part: &str) -> Result<Map<String, Value>, Flaw> {
    json::object(&decode(part)?, limits::MAX_TOKEN_DEPTH, limits::MAX_TOKEN_VALUES)
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Error> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(Error::Unparsable(Flaw::Member("alg")))?;
    Algorithm::named(name).ok_or(Error::Algorithm)
}

/// A header that must be understood names what we do not have (RFC 7515 section 4.1.11), and `b64` changes what is signed without
/// naming itself, though it must (RFC 7797 section 6).
fn check_extensions(header: &Map<String, Value>) -> Result<(), Error> {
    match header.contains_key("crit") || header.contains_key("b64") {
        true => Err(Error::Critical),
        false => Ok(()),
    }
}

/// Most issuers say `JWT`, `at+jwt` or nothing. Every other kind of JWT says so with a suffix (RFC 8725 section 3.11), and was not made
/// to call anything: a logout token is signed with the same key, for the same audience.
fn check_type(header: &Map<String, Value>) -> Result<(), Error> {
    let Some(value) = header.get("typ") else { return Ok(()) };
    let name = value.as_str().ok_or(Error::Unparsable(Flaw::Member("typ")))?.to_ascii_lowercase();
    let name = name.strip_prefix("application/").unwrap_or(&name);
    match name.ends_with("+jwt") && name != "at+jwt" {
        true => Err(Error::Type),
        false => Ok(()),
    }
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, Error> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= limits::MAX_KEY_ID_BYTES => Ok(Some(kid.clone())),
        Some(_) => Err(Error::Unparsable(Flaw::Member("kid"))),
    }
}
