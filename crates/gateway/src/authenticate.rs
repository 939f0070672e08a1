//! Who is calling: the key behind a signature, in two steps, so that what must be refused is refused before its body is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::request;
use innkeep_auth::Principal;
use innkeep_auth::sigv4::{self, Presigned, Signed, SigningKeys};
use innkeep_types::{Clock, UnixMillis};

/// Finds the access key of this id that is good at this time; a temporary one by its session token too, a lasting one only without.
/// Called for every request: no IO.
///
/// # Errors
/// `UnknownKey`, `KeyExpired`.
pub type KeyLookup = Arc<dyn Fn(&str, Option<&str>, UnixMillis) -> Result<Arc<Signer>, sigv4::Error> + Send + Sync>;

/// An access key that is good at present, and whose it is.
pub struct Signer {
    /// `AKIA…` or `ASIA…`.
    pub key_id: String,
    /// What requests are signed with.
    pub secret: String,
    /// What a temporary key is called.
    pub session: Option<String>,
    /// Who has it, and what that one may do.
    pub principal: Arc<Principal>,
    /// When it, or the lasting key that it was made by, was last used: milliseconds since the epoch; 0: never.
    pub used_at: Arc<AtomicI64>,
}

/// Shows nothing secret.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key_id", &self.key_id)
            .field("session", &self.session)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// What it takes to verify a signature; clones share it.
#[derive(Clone)]
pub struct Authenticator {
    /// The keys of this server.
    pub keys: KeyLookup,
    /// Signing keys derived before.
    pub signing_keys: Arc<SigningKeys>,
    /// What signatures' dates are held against.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

/// A request that claims to come from a key of ours, by a signature that is well formed and fresh. Nothing is proven yet.
#[derive(Debug)]
pub struct Claim {
    signed: Signed,
    signer: Arc<Signer>,
}

impl Claim {
    /// Returns the access key that it claims.
    pub fn key_id(&self) -> &str {
        &self.signer.key_id
    }

    /// Returns whose key that is.
    pub fn principal(&self) -> &Principal {
        &self.signer.principal
    }

    /// Returns what the head says of the body, if it does: its SHA-256.
    pub fn claimed_digest(&self) -> Option<[u8; 32]> {
        self.signed.claimed_digest()
    }
}

impl Authenticator {
    /// Returns what the head of a request claims.
    pub fn claim(&self, head: &request::Parts) -> Result<Claim, sigv4::Error> {
        let now = self.clock.now();
        let signed = Signed::parse(&head.method, raw_target(head), &head.headers, now)?;
        let signer = (self.keys)(signed.access_key_id(), signed.session_token(), now)?;
        Ok(Claim { signed, signer })
    }

    /// Returns the key that made a request which is signed in its query, and has no body.
    pub(crate) fn presigned(&self, head: &request::Parts) -> Result<Arc<Signer>, sigv4::Error> {
        let now = self.clock.now();
        let presigned = Presigned::parse(&head.method, raw_target(head), &head.headers, now)?;
        let signer = (self.keys)(presigned.access_key_id(), presigned.session_token(), now)?;
        presigned.verify(&self.signing_keys, &signer.secret)?;
        signer.used_at.fetch_max(now.0, Ordering::Relaxed);
        Ok(signer)
    }

    /// Returns the key that made the request, now that its body's SHA-256 is known. As it is now: a body may take an hour.
    pub fn verify(&self, claim: &Claim, body: &[u8; 32]) -> Result<Arc<Signer>, sigv4::Error> {
        let now = self.clock.now();
        let signer = (self.keys)(claim.signed.access_key_id(), claim.signed.session_token(), now)?;
        claim.signed.verify(&self.signing_keys, &signer.secret, body)?;
        signer.used_at.fetch_max(now.0, Ordering::Relaxed);
        Ok(signer)
    }
}

pub(crate) fn raw_target(head: &request::Parts) -> &str {
    head.uri.path_and_query().map_or("/", |target| target.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use http::header::HOST;
    use http::{HeaderMap, HeaderValue, Method, Request};
    use innkeep_auth::sigv4::Credentials;
    use innkeep_types::{AccountId, SystemClock};

    use super::*;

    #[test]
    fn a_key_that_ends_while_its_body_comes_is_refused() {
        let is_there = Arc::new(AtomicBool::new(true));
        let account = AccountId::parse("000000000000").unwrap();
        let signer = Arc::new(Signer {
            key_id: "AKIAEXAMPLE".to_owned(),
            secret: "a secret".to_owned(),
            session: None,
            principal: Arc::new(Principal::user("alice", &account, Vec::new(), false)),
            used_at: Arc::default(),
        });
        let known = is_there.clone();
        let authenticator = Authenticator {
            keys: Arc::new(move |_, _, _| {
                known.load(Ordering::Relaxed).then(|| signer.clone()).ok_or(sigv4::Error::UnknownKey)
            }),
            signing_keys: Arc::new(SigningKeys::default()),
            clock: SystemClock::shared(),
        };
        let credentials =
            Credentials { access_key_id: "AKIAEXAMPLE".to_owned(), secret: "a secret".to_owned(), session_token: None };
        let digest = innkeep_auth::digest(b"{}");
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        let (region, now) = ("us-west-2", SystemClock.now());
        sigv4::sign(&credentials, region, &Method::POST, "/a", &mut headers, &digest, now).unwrap();
        let mut head = Request::post("/a").body(()).unwrap().into_parts().0;
        head.headers = headers;
        let claim = authenticator.claim(&head).unwrap();
        assert!(authenticator.verify(&claim, &digest).is_ok());
        is_there.store(false, Ordering::Relaxed);
        assert!(matches!(authenticator.verify(&claim, &digest), Err(sigv4::Error::UnknownKey)));
    }
}
