//! One public key of a key set: what it is, and what it may verify.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use innkeep_types::limits;
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};

use super::Algorithm;

/// The least and the greatest RSA modulus, bits. Source: RFC 7518 section 3.3; what ring verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that signatures can be verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    /// The one algorithm that the issuer uses it for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    /// Both big-endian, without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point, uncompressed: 4, x, y.
    P256(Vec<u8>),
    /// The same.
    P384(Vec<u8>),
    /// Known to lie on its curve. ring has no P-521.
    P521(Box<VerifyingKey>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Returns the key that `members` describe; none if it is not one for signatures, is too weak, has a curve or an algorithm that
    /// we do not have, or is not public: whoever publishes the private part has no key any more. Source: RFC 7517, 7518 section 6,
    /// 8037.
    pub(super) fn parse(members: &Map<String, Value>) -> Option<Self> {
        let is_private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name));
        if is_private || !is_for_verifying(members) {
            return None;
        }
        let kid = match members.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= limits::MAX_KEY_ID_BYTES)?.to_owned()),
        };
        let algorithm = match members.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::named(name.as_str()?)?),
        };
        let key = Self { kid, algorithm, material: Material::parse(members)? };
        match algorithm.is_none_or(|algorithm| key.material.fits(algorithm)) {
            true => Some(key),
            false => None,
        }
    }

    /// Returns whether signatures of `algorithm` may be held against this key: its type decides, and what the issuer uses it for.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }

    /// Returns whether `signature` over `message` is this key's.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let with = |how: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(message, signature).is_ok()
        };
        match (&self.material, algorithm, algorithm.rsa()) {
            (Material::Rsa { modulus, exponent }, _, Some(how)) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(how, message, signature).is_ok()
            }
            (Material::P256(point), Algorithm::ES256, _) => with(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), Algorithm::ES384, _) => with(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Material::P521(key), Algorithm::ES512, _) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (Material::Ed25519(key), Algorithm::EdDSA, _) => with(&signature::ED25519, key),
            _ => false,
        }
    }
}

impl Material {
    fn parse(members: &Map<String, Value>) -> Option<Self> {
        let word = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(word(name)?).ok();
        match (word("kty")?, word("crv")) {
            ("RSA", _) => rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256")) => point(&bytes("x")?, &bytes("y")?, 32).map(Self::P256),
            ("EC", Some("P-384")) => point(&bytes("x")?, &bytes("y")?, 48).map(Self::P384),
            ("EC", Some("P-521")) => p521(&point(&bytes("x")?, &bytes("y")?, 66)?),
            ("OKP", Some("Ed25519")) => bytes("x").filter(|key| key.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.rsa().is_some(),
            Self::P256(_) => algorithm == Algorithm::ES256,
            Self::P384(_) => algorithm == Algorithm::ES384,
            Self::P521(_) => algorithm == Algorithm::ES512,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
        }
    }
}

/// Some issuers write the sign's zero before the modulus, which RFC 7518 section 6.3.1.1 knows of; ring takes none.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Material> {
    let [modulus, exponent] = [modulus, exponent].map(|number| {
        let n_zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(n_zeros..).unwrap_or_default().to_vec()
    });
    let n_bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    // Of an exponent of 1 every message is its own signature; ring refuses it as well, and more than 33 bits.
    let is_exponent = exponent.last()? % 2 == 1 && exponent.as_slice() != [1] && exponent.len() <= 5;
    let is_usable = RSA_BITS.contains(&n_bits) && modulus.last()? % 2 == 1 && is_exponent;
    is_usable.then_some(Material::Rsa { modulus, exponent })
}

/// Whether the point lies on its curve is ring's to say, at each signature, and [`p521`]'s, at once.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

fn p521(point: &[u8]) -> Option<Material> {
    VerifyingKey::from_sec1_bytes(point).ok().map(|key| Material::P521(Box::new(key)))
}

/// `use` and `key_ops`, if there, say that signatures are verified with it. Source: RFC 7517 sections 4.2 and 4.3.
fn is_for_verifying(members: &Map<String, Value>) -> bool {
    let by_use = members.get("use").is_none_or(|word| word == "sig");
    let by_operations = members
        .get("key_ops")
        .is_none_or(|words| words.as_array().is_some_and(|words| words.iter().any(|word| word == "verify")));
    by_use && by_operations
}

#[cfg(test)]
mod tests;
