//! A signature that came with a request: what it claims, and whether that is true.

use std::fmt;

use http::header::{AUTHORIZATION, DATE as HTTP_DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use innkeep_types::{UnixMillis, limits};
use ring::hmac;

use super::authorization::Authorization;
use super::canonical::{canonical, normalize, split_target};
use super::keys::SigningKeys;
use super::stamp::Stamp;
use super::{CONTENT_SHA256, DATE, Error, SECURITY_TOKEN, SERVICE, string_to_sign};
use crate::sha256::from_hex;

/// The longest request target that is looked at, bytes. Source: our choice; an ARN in it takes some 150.
pub(super) const MAX_TARGET_BYTES: usize = 16 * 1024;

pub(super) const CLOCK_SKEW_SECS: i64 = limits::CLOCK_SKEW.as_secs().cast_signed();

/// A request's signature, parsed and dated, whose body has not been seen yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    access_key_id: String,
    scope: String,
    stamp: Stamp,
    signature: [u8; 32],
    claimed_digest: Option<[u8; 32]>,
    session_token: Option<String>,
    /// But for the last line. The path is normalised, as SDKs do.
    canonical: Vec<u8>,
    /// The same with the path as received, where that differs: some clients sign it so. Accepting both is safe: this form is good
    /// for the one path that was signed, and only its signer can have made it.
    canonical_verbatim: Option<Vec<u8>>,
}

impl Signed {
    /// Parses the signature of a request head: refuses what is malformed, stale (beyond `limits::CLOCK_SKEW` of `now`), for
    /// another service than `bedrock-agentcore`, or does not sign `host` and its date. Other headers may be unsigned: clients
    /// leave some out. `raw_target` is the request target as received: path and query, still percent-encoded. Of an HTTP/2
    /// request, `headers` has to hold the `:authority` as `host`.
    ///
    /// As with AWS, the path is signed without its empty and dot segments, so that anyone can add some on the way: no route may
    /// match a path that has them.
    ///
    /// # Errors
    /// Every variant of [`Error`] but `Content`, `Mismatch` and `Unsignable`.
    pub fn parse(method: &Method, raw_target: &str, headers: &HeaderMap, now: UnixMillis) -> Result<Self, Error> {
        Self::parse_for(SERVICE, method, raw_target, headers, now)
    }

    /// Does what [`Self::parse`] says, for any service.
    pub(super) fn parse_for(
        service: &'static str,
        method: &Method,
        raw_target: &str,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let authorization = get_single(headers, &AUTHORIZATION, "Authorization")?.ok_or(Error::Missing)?;
        let authorization = Authorization::parse(authorization.to_str().map_err(|_| Error::Pair)?, service)?;
        let stamp = parse_date(headers, &authorization)?;
        if authorization.day != stamp.day() {
            return Err(Error::ScopeDate { scope: authorization.day.to_owned(), date: stamp.day().to_owned() });
        }
        check_clock(&stamp, now)?;
        if raw_target.len() > MAX_TARGET_BYTES {
            return Err(Error::TooLong { part: "request target", limit: MAX_TARGET_BYTES });
        }
        let (path, query) = split_target(raw_target);
        let normal = normalize(path);
        let write = |path: &str| canonical(method, path, query, authorization.signed_headers, headers);
        let session_token = get_single(headers, &SECURITY_TOKEN, "X-Amz-Security-Token")?;
        let session_token = session_token.map(|token| token.to_str().map_err(|_| Error::UnknownKey)).transpose()?;
        Ok(Self {
            access_key_id: authorization.access_key_id.to_owned(),
            scope: authorization.scope.to_owned(),
            signature: authorization.signature,
            claimed_digest: parse_content_sha256(headers)?,
            session_token: session_token.map(str::to_owned),
            canonical: write(&normal)?,
            canonical_verbatim: (normal != path).then(|| write(path)).transpose()?,
            stamp,
        })
    }

    /// Returns the access key id that the signature claims.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Returns the session token that came with the request, signed or not: a temporary key is only good together with its own.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Returns what `x-amz-content-sha256` claims of the body, if it is there (checked against the real one by `verify`).
    pub fn claimed_digest(&self) -> Option<[u8; 32]> {
        self.claimed_digest
    }

    /// Checks the signature with the key's secret and the SHA-256 of the body as received. Constant time in the secret parts.
    ///
    /// # Errors
    /// `Content` if the body is not the one that the client digested, else `Mismatch`.
    pub fn verify(&self, keys: &SigningKeys, secret: &str, body: &[u8; 32]) -> Result<(), Error> {
        if self.claimed_digest.is_some_and(|claimed| claimed != *body) {
            return Err(Error::Content);
        }
        let forms = std::iter::once(&self.canonical).chain(&self.canonical_verbatim);
        let mut texts = forms.map(|form| string_to_sign(self.stamp.as_str(), &self.scope, form, body));
        let is_genuine =
            keys.check(secret, &self.scope, |key| texts.any(|text| hmac::verify(key, &text, &self.signature).is_ok()));
        if is_genuine { Ok(()) } else { Err(Error::Mismatch) }
    }

    /// Returns the canonical request but for its last line.
    #[cfg(test)]
    pub(super) fn canonical(&self) -> (&[u8], Option<&[u8]>) {
        (&self.canonical, self.canonical_verbatim.as_deref())
    }
}

/// Shows who signed and when. The rest could be replayed.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("date", &self.stamp.as_str())
            .finish_non_exhaustive()
    }
}

pub(super) fn get_single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a HeaderValue>, Error> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Error::Repeated { header: shown }) } else { Ok(first) }
}

fn parse_date(headers: &HeaderMap, authorization: &Authorization<'_>) -> Result<Stamp, Error> {
    let read = |name: &HeaderName, shown: &'static str, parse: fn(&str) -> Option<Stamp>| {
        let Some(value) = get_single(headers, name, shown)? else { return Ok(None) };
        if !authorization.covers(name.as_str()) {
            return Err(Error::NotSigned { header: shown });
        }
        value.to_str().ok().and_then(parse).map(Some).ok_or(Error::Date)
    };
    match read(&DATE, "X-Amz-Date", Stamp::parse_basic)? {
        Some(stamp) => Ok(stamp),
        None => read(&HTTP_DATE, "Date", Stamp::parse_date_header)?.ok_or(Error::NoDate),
    }
}

fn check_clock(stamp: &Stamp, now: UnixMillis) -> Result<(), Error> {
    let ahead = stamp.secs_after(now);
    if (-CLOCK_SKEW_SECS..=CLOCK_SKEW_SECS).contains(&ahead) {
        return Ok(());
    }
    let (signed, our_time) = (stamp.as_str().to_owned(), now.as_secs());
    Err(if ahead < 0 {
        Error::Expired { signed, earliest: Stamp::show(our_time - CLOCK_SKEW_SECS), now: Stamp::show(our_time) }
    } else {
        not_yet_current(stamp, now)
    })
}

/// Returns the refusal of what was signed in the future.
pub(super) fn not_yet_current(stamp: &Stamp, now: UnixMillis) -> Error {
    let our_time = now.as_secs();
    let latest = Stamp::show(our_time + CLOCK_SKEW_SECS);
    Error::NotYetCurrent { signed: stamp.as_str().to_owned(), latest, now: Stamp::show(our_time) }
}

fn parse_content_sha256(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Error> {
    let Some(value) = get_single(headers, &CONTENT_SHA256, "X-Amz-Content-Sha256")? else { return Ok(None) };
    from_hex(value.as_bytes()).map(Some).ok_or(Error::Payload)
}
