//! The dev issuer: a key that signs tokens for whoever can read it, and the two documents by which others know it. For development:
//! it asks nobody who they are. Must not know: where the key is kept, who serves the documents.
//! Source: RFC 7515, 7517, 7638; OpenID Connect Discovery 1.0 section 3.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use innkeep_types::ErrorKind;

/// Where a server has it, below its URL.
pub const PATH: &str = "/innkeep/dev-issuer";

/// Its discovery document, below [`PATH`].
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Its key set, below [`PATH`].
pub const KEYS: &str = "/jwks.json";

/// What its file says to who opens it.
const ABOUT: &str =
    "For development: whoever can read this key can be anybody to the agents that take tokens of this issuer.";

/// Why there is no dev issuer, or no token of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is none that [`DevIssuer::to_text`] wrote. What it says is not shown: it may be a key.
    #[error("this is no key of a dev issuer")]
    NotOne,
    /// The system has no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

/// An issuer with one ES256 key, which is its own.
pub struct DevIssuer {
    issuer: String,
    /// PKCS#8.
    document: Vec<u8>,
    pair: EcdsaKeyPair,
    key_id: String,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    about: String,
    issuer: String,
    key: String,
}

impl DevIssuer {
    /// Returns the issuer of the server at `server_url` (`http://127.0.0.1:7080`), with a new key.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate(server_url: &str) -> Result<Self, Error> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self::new(name(server_url), document.map_err(|_| Error::Random)?.as_ref().to_vec())
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`Error::NotOne`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Written { issuer, key, .. } = serde_json::from_str(text).map_err(|_| Error::NotOne)?;
        Self::new(issuer, URL_SAFE_NO_PAD.decode(key).map_err(|_| Error::NotOne)?)
    }

    fn new(issuer: String, document: Vec<u8>) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document, &SystemRandom::new());
        let pair = pair.map_err(|_| Error::NotOne)?;
        let (x, y) = point(&pair);
        let thumbprint = digest(&SHA256, format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
        Ok(Self { issuer, document, pair, key_id: encode(thumbprint.as_ref()) })
    }

    /// Returns the same key as the issuer of the server at another URL.
    #[must_use]
    pub fn at(self, server_url: &str) -> Self {
        Self { issuer: name(server_url), ..self }
    }

    /// Returns it as a text that holds the secret key.
    pub fn to_text(&self) -> String {
        let key = encode(&self.document);
        json!(Written { about: ABOUT.to_owned(), issuer: self.issuer.clone(), key }).to_string()
    }

    /// Returns its name, which is `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the URL of its discovery document.
    pub fn discovery_url(&self) -> String {
        format!("{}{DISCOVERY}", self.issuer)
    }

    /// Returns its discovery document. There is no endpoint where a token could be had: they are made by who has the key.
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}{KEYS}", self.issuer),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": ["iss", "sub", "aud", "client_id", "scope", "iat", "exp"],
        })
    }

    /// Returns its key set: the public key.
    pub fn key_set(&self) -> Value {
        let (x, y) = point(&self.pair);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id, "x": x, "y": y,
        }]})
    }

    /// Returns a token that claims this, and, unless it claims otherwise, that it is this issuer's. Null leaves a claim out.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, Error> {
        let mut all = Map::from_iter([("iss".to_owned(), Value::from(&*self.issuer))]);
        all.extend(claims.clone());
        all.retain(|_, claimed| !claimed.is_null());
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": self.key_id}).to_string();
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(Value::Object(all).to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| Error::Random)?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}

/// Shows nothing secret.
impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer").field("issuer", &self.issuer).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn name(server_url: &str) -> String {
    format!("{}{PATH}", server_url.trim_end_matches('/'))
}

/// Returns the coordinates of the public key. Source: SEC 1 section 2.3.3, a point begins with its form.
fn point(pair: &EcdsaKeyPair) -> (String, String) {
    let point = pair.public_key().as_ref();
    let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
    (encode(x), encode(y))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use innkeep_types::UnixMillis;

    use super::*;
    use crate::jwt::{self, KeySet, Rules, Token};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn claims(mut with: Value) -> Map<String, Value> {
        with["exp"] = with.get("exp").cloned().unwrap_or_else(|| json!(NOW.as_secs() + 60));
        with.as_object().unwrap().clone()
    }

    /// Holds a token of `signer` against what `issuer` publishes, for a runtime that asks for the audience `here`.
    fn verify(issuer: &DevIssuer, signer: &DevIssuer, with: Value) -> Result<(), jwt::Error> {
        let rules = json!({"discoveryUrl": issuer.discovery_url(), "allowedAudience": ["here"]});
        let keys = KeySet::parse(issuer.key_set().to_string().as_bytes()).unwrap();
        let token = Token::parse(&signer.sign(&claims(with)).unwrap()).unwrap();
        let rules = Rules::from_configuration(&rules).unwrap();
        jwt::verify(&token, &keys, issuer.issuer(), &rules, NOW).map(drop)
    }

    #[test]
    fn a_token_is_good_for_what_it_claims_and_with_its_own_key() {
        let (issuer, other) =
            (DevIssuer::generate("http://[::1]:7080").unwrap(), DevIssuer::generate("http://[::1]:7080").unwrap());
        verify(&issuer, &issuer, json!({"sub": "alice", "aud": "here"})).unwrap();
        assert!(verify(&issuer, &issuer, json!({"sub": "alice", "aud": "there"})).is_err());
        assert!(verify(&issuer, &issuer, json!({"aud": "here", "iss": "https://other"})).is_err());
        let past = json!({"aud": "here", "exp": NOW.as_secs() - 61});
        assert_eq!(verify(&issuer, &issuer, past), Err(jwt::Error::Expired));
        assert_eq!(verify(&issuer, &other, json!({"aud": "here"})), Err(jwt::Error::NoKey));
    }

    #[test]
    fn a_key_is_kept_as_text_and_moves_with_its_server() {
        let first = DevIssuer::generate("http://127.0.0.1:7080/").unwrap();
        assert_eq!(first.issuer(), "http://127.0.0.1:7080/innkeep/dev-issuer");
        let again = DevIssuer::parse(&first.to_text()).unwrap();
        assert_eq!((again.issuer(), again.key_set()), (first.issuer(), first.key_set()));
        let moved = again.at("http://127.0.0.1:1");
        assert_eq!(moved.discovery()["jwks_uri"], json!("http://127.0.0.1:1/innkeep/dev-issuer/jwks.json"));
        assert_eq!(moved.key_set(), first.key_set());
        verify(&moved, &moved, json!({"aud": "here"})).unwrap();
        assert!(verify(&moved, &first, json!({"aud": "here"})).is_err(), "the server is another one");
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_key_is_not_shown() {
        let issuer = DevIssuer::generate("http://127.0.0.1:7080").unwrap();
        let text = issuer.to_text();
        for bad in ["", "{}", &text[1..], &text.replace("\"key\":\"", "\"key\":\"x")] {
            assert!(matches!(DevIssuer::parse(bad), Err(Error::NotOne)), "{bad}");
        }
        let secret = encode(&issuer.document);
        assert!(!format!("{issuer:?}").contains(&secret) && !issuer.key_set().to_string().contains("\"d\""));
    }
}
