//! The keys that an issuer publishes, and which of them a token is held against.

use innkeep_types::limits;
use serde_json::Value;

use super::jwk::Key;
use super::verified::Verified;
use super::{Algorithm, Error, Flaw, Token, json};

/// The keys of one issuer that can verify something. May be empty. Keep one for as long as its keys are good: it remembers which tokens
/// they have signed, and the second look at a token costs 1 µs and not 30 to 1000.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    verified: Verified,
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl KeySet {
    /// Reads a JWKS document (RFC 7517 section 5). Keys that are not for us are left out: encryption keys, symmetric and private ones,
    /// RSA below 2048 and above 8192 bits, other curves and algorithms.
    ///
    /// # Errors
    ///
    /// [`Error::KeySet`] for what is no such document or exceeds [`limits::MAX_KEY_SET_BYTES`] and its neighbours.
    pub fn parse(jwks: &[u8]) -> Result<Self, Error> {
        Self::read(jwks).map_err(Error::KeySet)
    }

    fn read(jwks: &[u8]) -> Result<Self, Flaw> {
        if jwks.len() > limits::MAX_KEY_SET_BYTES {
            return Err(Flaw::TooLong);
        }
        let document = json::object(jwks, limits::MAX_TOKEN_DEPTH, limits::MAX_KEY_SET_VALUES)?;
        let written = document.get("keys").and_then(Value::as_array).ok_or(Flaw::Member("keys"))?;
        if written.len() > limits::MAX_KEY_SET_KEYS {
            return Err(Flaw::TooMany);
        }
        let mut keys: Vec<Key> = Vec::new();
        for key in written.iter().filter_map(Value::as_object).filter_map(Key::parse) {
            // A key that is listed twice is still one, and not an ambiguity.
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Self { keys, verified: Verified::default() })
    }

    /// Returns whether a key of this name verifies signatures of `algorithm`; any key, if a token names none. Where this says no, the
    /// issuer may have a newer set.
    pub fn has(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.fitting(kid, algorithm).next().is_some()
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there are none, so that no token can be verified.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Refuses a token that is not signed with the one key that it can mean. One, so that a request costs one verification, and the same
    /// token is always held against the same key.
    pub(super) fn check(&self, token: &Token) -> Result<(), Error> {
        let mut fitting = self.fitting(token.kid(), token.algorithm());
        let key = fitting.next().ok_or(Error::NoKey)?;
        if fitting.next().is_some() {
            return Err(Error::AmbiguousKey);
        }
        let check = || key.verifies(token.algorithm(), token.signed(), token.signature());
        match self.verified.is_right(token, check) {
            true => Ok(()),
            false => Err(Error::Signature),
        }
    }

    fn fitting<'a>(&'a self, kid: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        let is_named = move |key: &&Key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        self.keys.iter().filter(is_named).filter(move |key| key.fits(algorithm))
    }
}
