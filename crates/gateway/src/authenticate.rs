//! Who is calling: the key behind a signature, in two steps, so that what must be refused is refused before its body is read.

use std::fmt;
use std::sync::Arc;

use http::request;
use innkeep_auth::sigv4::{self, Signed, SigningKeys};
use innkeep_store::AccessKey;
use innkeep_types::Clock;

/// Finds an access key by its id. Called for every request: no IO.
pub type KeyLookup = Arc<dyn Fn(&str) -> Option<Arc<AccessKey>> + Send + Sync>;

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
    key: Arc<AccessKey>,
}

impl Claim {
    /// Returns what the head says of the body, if it does: its SHA-256.
    pub fn claimed_digest(&self) -> Option<[u8; 32]> {
        self.signed.claimed_digest()
    }
}

impl Authenticator {
    /// Returns what the head of a request claims.
    pub fn claim(&self, head: &request::Parts) -> Result<Claim, sigv4::Error> {
        let raw_target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed = Signed::parse(&head.method, raw_target, &head.headers, self.clock.now())?;
        let key = (self.keys)(signed.access_key_id());
        // Keys here are lasting ones: a temporary one, known by its token, is not ours.
        let key = key.filter(|_| signed.session_token().is_none()).ok_or(sigv4::Error::UnknownKey)?;
        Ok(Claim { signed, key })
    }

    /// Returns the key that made the request, now that its body's SHA-256 is known.
    pub fn verify(&self, claim: &Claim, body: &[u8; 32]) -> Result<Arc<AccessKey>, sigv4::Error> {
        claim.signed.verify(&self.signing_keys, &claim.key.secret, body)?;
        Ok(claim.key.clone())
    }
}
