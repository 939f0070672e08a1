//! An issuer's key: signs anything, with any header.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p521::ecdsa::signature::Signer as _;
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};

use super::with;

pub(crate) enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(&'static str, EcdsaKeyPair),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// The one RSA key: ring makes none. It protects nothing.
    pub(crate) fn rsa() -> Self {
        let text: String = include_str!("rsa-2048-for-tests-only.pkcs8.base64").split_whitespace().collect();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap()))
    }

    pub(crate) fn es256() -> Self {
        Self::ec("P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(crate) fn es384() -> Self {
        Self::ec("P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub(crate) fn es512() -> Self {
        // Below the order of the curve, whose first byte is 1.
        let mut secret = [0; 66];
        SystemRandom::new().fill(&mut secret[1..]).unwrap();
        Self::P521(Box::new(p521::ecdsa::SigningKey::from_slice(&secret).unwrap()))
    }

    fn ec(curve: &'static str, algorithm: &'static signature::EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec(curve, EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    /// The public key.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let key = match self {
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": base64(&public.n), "e": base64(&public.e)})
            }
            Self::Ec(curve, pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(if *curve == "P-256" { 32 } else { 48 });
                json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Self::P521(pair) => {
                let point = pair.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(66);
                json!({"kty": "EC", "crv": "P-521", "x": base64(x), "y": base64(y)})
            }
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())}),
        };
        with(with(key, "kid", json!(kid)), "use", json!("sig"))
    }

    /// A token, signed as its header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap();
        self.sign_text(algorithm, &header.to_string(), &claims.to_string())
    }

    /// Two texts, signed with `algorithm` whatever they say.
    pub(crate) fn sign_text(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = self.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", base64(&signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn signature::RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::P521(pair) => {
                let signature: p521::ecdsa::Signature = pair.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
