//! A signature that came in the query: what it claims, and whether that is true. For requests without a body.

use std::fmt;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method};
use innkeep_types::{UnixMillis, limits};
use ring::hmac;

use super::authorization::{check_signed_headers, split_credential};
use super::canonical::{canonical, normalize, split_target};
use super::keys::SigningKeys;
use super::parameters::Parameters;
use super::signed::{CLOCK_SKEW_SECS, MAX_TARGET_BYTES, get_single, not_yet_current};
use super::stamp::Stamp;
use super::{ALGORITHM, Error, SECURITY_TOKEN, SERVICE, string_to_sign};
use crate::sha256::from_hex;

const MAX_LIFETIME_SECS: u64 = limits::MAX_PRESIGNED_LIFETIME.as_secs();

/// A presigned request, parsed and dated. Who has the URL may use it as often as they like until its time is over, as on AWS.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    access_key_id: String,
    scope: String,
    stamp: Stamp,
    signature: [u8; 32],
    session_token: Option<String>,
    /// But for the last line: the path normalised and as received, the host as received and without its port, where these differ.
    /// Accepting all is safe: each form is good for what its signer signed, and only its signer can have made it.
    canonical: Vec<Vec<u8>>,
}

impl Presigned {
    /// Tells whether a request claims to be signed in its query. Such a request is [`Self::parse`]d or refused, never taken for one
    /// without a signature.
    pub fn is_claimed(raw_target: &str) -> bool {
        Parameters::are_in(split_target(raw_target).1)
    }

    /// Parses the signature in the query of a request without a body: refuses what is malformed, from the future (beyond
    /// `limits::CLOCK_SKEW` of `now`), over, good for longer than `limits::MAX_PRESIGNED_LIFETIME`, for another service than
    /// `bedrock-agentcore`, or does not sign `host`; and what is signed in its head too. `raw_target` and `headers` are as for
    /// [`super::Signed::parse`].
    ///
    /// `host` may have been signed without the port that it was sent with: the bedrock-agentcore SDK does so. The session token
    /// has to be in the query, where the signature covers it.
    ///
    /// # Errors
    /// Every variant of [`Error`] that speaks of a query or of a signature's parts; never `Mismatch` and `UnknownKey`.
    pub fn parse(method: &Method, raw_target: &str, headers: &HeaderMap, now: UnixMillis) -> Result<Self, Error> {
        if raw_target.len() > MAX_TARGET_BYTES {
            return Err(Error::TooLong { part: "request target", limit: MAX_TARGET_BYTES });
        }
        if headers.contains_key(AUTHORIZATION) {
            return Err(Error::TwoSignatures("Authorization"));
        }
        if headers.contains_key(SECURITY_TOKEN) {
            return Err(Error::TwoSignatures("X-Amz-Security-Token"));
        }
        let (path, query) = split_target(raw_target);
        let parameters = Parameters::parse(query)?;
        if parameters.algorithm != ALGORITHM {
            return Err(Error::Algorithm);
        }
        let (access_key_id, scope, day) = split_credential(&parameters.credential, SERVICE)?;
        check_signed_headers(&parameters.signed_headers)?;
        let signature = from_hex(parameters.signature.as_bytes()).ok_or(Error::Signature)?;
        let stamp = Stamp::parse_basic(&parameters.date).ok_or(Error::Date)?;
        if day != stamp.day() {
            return Err(Error::ScopeDate { scope: day.to_owned(), date: stamp.day().to_owned() });
        }
        check_lifetime(&stamp, &parameters.expires, now)?;
        Ok(Self {
            canonical: write_forms(method, path, &parameters, headers)?,
            access_key_id: access_key_id.to_owned(),
            scope: scope.to_owned(),
            session_token: parameters.session_token,
            signature,
            stamp,
        })
    }

    /// Returns the access key id that the signature claims.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Returns the session token, which the signature covers: a temporary key is only good together with its own.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Checks the signature with the key's secret, over a body of no bytes. Constant time in the secret parts.
    ///
    /// # Errors
    /// `Mismatch`.
    pub fn verify(&self, keys: &SigningKeys, secret: &str) -> Result<(), Error> {
        let nothing = crate::digest(b"");
        let mut texts =
            self.canonical.iter().map(|form| string_to_sign(self.stamp.as_str(), &self.scope, form, &nothing));
        let is_genuine =
            keys.check(secret, &self.scope, |key| texts.any(|text| hmac::verify(key, &text, &self.signature).is_ok()));
        if is_genuine { Ok(()) } else { Err(Error::Mismatch) }
    }
}

/// Shows who signed and when. The rest could be replayed.
impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presigned")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("date", &self.stamp.as_str())
            .finish_non_exhaustive()
    }
}

fn check_lifetime(stamp: &Stamp, expires: &str, now: UnixMillis) -> Result<(), Error> {
    let wrong = Error::Expires { limit: MAX_LIFETIME_SECS };
    // Digits only: `parse` would take a sign too.
    let lifetime = Some(expires).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let lifetime = lifetime.and_then(|digits| digits.parse::<u64>().ok());
    let lifetime = lifetime.filter(|secs| (1..=MAX_LIFETIME_SECS).contains(secs)).ok_or(wrong)?;
    let ahead = stamp.secs_after(now);
    if ahead > CLOCK_SKEW_SECS {
        return Err(not_yet_current(stamp, now));
    }
    let left = ahead.saturating_add_unsigned(lifetime);
    if left < 0 {
        let our_time = now.as_secs();
        return Err(Error::Over { until: Stamp::show(our_time.saturating_add(left)), now: Stamp::show(our_time) });
    }
    Ok(())
}

fn write_forms(
    method: &Method,
    path: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut hosts = vec![headers.clone()];
    if let Some(host) = get_single(headers, &HOST, "Host")?.and_then(without_port) {
        let mut portless = headers.clone();
        portless.insert(HOST, host);
        hosts.push(portless);
    }
    let normal = normalize(path);
    let paths = [Some(&*normal), (normal != path).then_some(path)];
    let mut forms = Vec::with_capacity(4);
    for headers in &hosts {
        for path in paths.into_iter().flatten() {
            forms.push(canonical(method, path, &parameters.covered, &parameters.signed_headers, headers)?);
        }
    }
    Ok(forms)
}

/// Returns the host without its port, if it has one. Of what is no plain host and port (`user@host:1`) nothing is taken off.
fn without_port(host: &HeaderValue) -> Option<HeaderValue> {
    let (name, port) = host.to_str().ok()?.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_name = !name.is_empty() && !name.contains('@');
    HeaderValue::from_str(name).ok().filter(|_| is_port && is_name)
}
