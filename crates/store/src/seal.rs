//! Sealing of single values: AES-256-GCM with a random nonce each, bound to the place where the value is kept.
//!
//! A sealed value is nonce (12 bytes), ciphertext, tag (16). Random nonces are safe for some 2^32 values of one key;
//! every version and access key takes one.

use std::fmt;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::Fault;
use crate::secret_key;

/// A value that cannot be sealed, or that was not sealed with this key for this place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {place}")]
pub struct Error {
    doing: &'static str,
    place: String,
}

/// Seals and opens values with one key.
pub(crate) struct Sealer {
    key: LessSafeKey,
    /// What keys of other purposes are derived from.
    origin: Prk,
    random: SystemRandom,
}

impl Sealer {
    fn new(key: &[u8; secret_key::KEY_BYTES]) -> Result<Self, Error> {
        let origin = Salt::new(HKDF_SHA256, b"innkeep/derived").extract(key);
        let key = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_| Error { doing: "use the key for", place: "anything".to_owned() })?;
        Ok(Self { key: LessSafeKey::new(key), origin, random: SystemRandom::new() })
    }

    /// Returns the sealer of the database behind `conn`, with the key in `data_dir`; a database without sealed values
    /// gets a key if there is none.
    pub(crate) fn unlock(conn: &Connection, data_dir: &Path) -> Result<Self, Fault> {
        const CANARY: &str = "sealing/canary";
        let canary: Option<Vec<u8>> =
            conn.query_row("SELECT canary FROM sealing", [], |row| row.get("canary")).optional()?;
        let load = if canary.is_some() { secret_key::load } else { secret_key::load_or_create };
        let sealer = Self::new(&load(data_dir).map_err(crate::Error::from)?)?;
        match canary {
            Some(canary) => {
                sealer
                    .open(CANARY, canary)
                    .map_err(|_| crate::Error::from(secret_key::Error::Wrong(secret_key::path(data_dir))))?;
            }
            None => {
                conn.execute("INSERT INTO sealing (id, canary) VALUES (1, ?1)", [sealer.seal(CANARY, Vec::new())?])?;
            }
        }
        Ok(sealer)
    }

    /// Returns the key for `purpose`, which tells nothing of the sealing key (RFC 5869).
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let info = [purpose.as_bytes()];
        let derived = self.origin.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
        derived.expect("HKDF has 32 bytes for any purpose");
        key
    }

    /// Returns `value` sealed for `place`, the identity of its row and column.
    pub(crate) fn seal(&self, place: &str, mut value: Vec<u8>) -> Result<Vec<u8>, Error> {
        let failed = |_| Error { doing: "seal", place: place.to_owned() };
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut value)
            .map_err(failed)?;
        Ok([&nonce, value.as_slice()].concat())
    }

    /// Returns the value that was sealed for `place`.
    pub(crate) fn open(&self, place: &str, mut sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        let failed = || Error { doing: "open the sealed", place: place.to_owned() };
        let (nonce, value) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(failed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let value = self.key.open_in_place(nonce, Aad::from(place), value).map_err(|_| failed())?;
        Ok(value.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_open_only_with_their_key_in_their_place() {
        let (ours, other) = (Sealer::new(&[1; 32]).unwrap(), Sealer::new(&[2; 32]).unwrap());
        let sealed = ours.seal("a/1", b"secret".to_vec()).unwrap();
        assert_eq!(ours.open("a/1", sealed.clone()).unwrap(), b"secret");
        assert!(ours.open("a/2", sealed.clone()).is_err());
        assert!(other.open("a/1", sealed.clone()).is_err());
        for i in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[i] ^= 1;
            assert!(ours.open("a/1", bent).is_err(), "byte {i}");
            assert!(ours.open("a/1", sealed[..i].to_vec()).is_err(), "cut to {i}");
        }
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_by_origin() {
        let (ours, other) = (Sealer::new(&[1; 32]).unwrap(), Sealer::new(&[2; 32]).unwrap());
        assert_eq!(ours.derive("a"), Sealer::new(&[1; 32]).unwrap().derive("a"));
        let keys = [ours.derive("a"), ours.derive("b"), other.derive("a"), [1; 32]];
        assert!(keys.iter().enumerate().all(|(n, key)| !keys[..n].contains(key)));
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        assert_ne!(sealer.seal("a", b"x".to_vec()).unwrap(), sealer.seal("a", b"x".to_vec()).unwrap());
    }
}
