//! Session tokens: what makes a temporary key good. A temporary key is stored nowhere; all that is known of it is in its token,
//! sealed for this server alone.
//!
//! ```text
//! token   = base64url(nonce (12) | ciphertext | tag (16)), no padding
//! sealed  = AES-256-GCM of the key's JSON, with the access key id as associated data
//! ```
//!
//! The id is bound, so that a token opens with its own `ASIA…` only. Random nonces are safe for some 2^32 tokens of one key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use innkeep_types::UnixMillis;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// The longest token that is opened, bytes. Source: our choice; a session policy of `limits::MAX_SESSION_POLICY_CHARS` and its
/// escapes fit, and so does the token into any server's limit of a head.
const MAX_BYTES: usize = 12 * 1024;

/// What a token says of its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temporary {
    /// The secret that requests are signed with.
    pub secret: String,
    /// The id of the lasting key that made it: what that one may do, this one may, and as long as that one is good.
    pub made_by: String,
    /// What the maker called it.
    pub session: String,
    /// A policy document: what it may do at most. Nothing more, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// From when on it is refused.
    pub expires_at: UnixMillis,
}

/// Shows nothing secret.
impl fmt::Debug for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Temporary")
            .field("made_by", &self.made_by)
            .field("session", &self.session)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a token could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system gave no random numbers, or the cipher refused.
    #[error("the session token could not be sealed")]
    Seal,
    /// It would not fit into a request's head.
    #[error("the session token would be longer than {MAX_BYTES} bytes: give a shorter session policy")]
    TooLong,
}

/// Makes and opens the tokens of one server.
pub struct SessionTokens {
    key: LessSafeKey,
    random: SystemRandom,
}

impl SessionTokens {
    /// Returns what makes and opens tokens with `key`, which has to be used for nothing else.
    pub fn new(key: [u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("a key of AES-256 has 32 bytes");
        Self { key: LessSafeKey::new(key), random: SystemRandom::new() }
    }

    /// Returns the token of the temporary key `access_key_id`.
    ///
    /// # Errors
    /// `Seal`, `TooLong`.
    pub fn seal(&self, access_key_id: &str, temporary: &Temporary) -> Result<String, Error> {
        let mut text = serde_json::to_vec(temporary).map_err(|_| Error::Seal)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| Error::Seal)?;
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(sealed, Aad::from(access_key_id), &mut text).map_err(|_| Error::Seal)?;
        let token = URL_SAFE_NO_PAD.encode([&nonce, text.as_slice()].concat());
        if token.len() > MAX_BYTES { Err(Error::TooLong) } else { Ok(token) }
    }

    /// Returns what `token` says of `access_key_id`; none, unless this server made it for that very key. Whether the key is good
    /// still is another question.
    pub fn open(&self, access_key_id: &str, token: &str) -> Option<Temporary> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, text) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.key.open_in_place(nonce, Aad::from(access_key_id), text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

impl fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "ASIAEXAMPLE234567ABC";

    fn temporary() -> Temporary {
        Temporary {
            secret: "secret of forty characters or something".to_owned(),
            made_by: "AKIAEXAMPLE".to_owned(),
            session: "deploy".to_owned(),
            policy: Some(r#"{"Statement":[]}"#.to_owned()),
            expires_at: UnixMillis(1_795_168_800_000),
        }
    }

    #[test]
    fn a_token_opens_for_its_key_on_its_server() {
        let (ours, other) = (SessionTokens::new([1; 32]), SessionTokens::new([2; 32]));
        let token = ours.seal(ID, &temporary()).unwrap();
        assert_eq!(ours.open(ID, &token), Some(temporary()));
        assert_eq!(ours.open("ASIAEXAMPLE234567ABD", &token), None);
        assert_eq!(other.open(ID, &token), None);
        assert_ne!(ours.seal(ID, &temporary()).unwrap(), token, "a nonce is never used again");
        assert!(
            token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "it stands in a URL as it is"
        );
        let plain = Temporary { policy: None, ..temporary() };
        assert_eq!(ours.open(ID, &ours.seal(ID, &plain).unwrap()), Some(plain));
    }

    #[test]
    fn secrets_are_not_shown_and_absurd_sizes_are_refused() {
        let tokens = SessionTokens::new([1; 32]);
        assert!(!format!("{:?}{tokens:?}", temporary()).contains("secret of"));
        let huge = Temporary { policy: Some("x".repeat(MAX_BYTES)), ..temporary() };
        assert_eq!(tokens.seal(ID, &huge), Err(Error::TooLong));
        assert_eq!(tokens.open(ID, &"A".repeat(MAX_BYTES + 1)), None);
    }

    proptest! {
        #[test]
        fn any_other_text_is_no_token(at in any::<prop::sample::Index>(), to in "[ -~]", cut in any::<prop::sample::Index>(), text in ".{0,100}") {
            let tokens = SessionTokens::new([1; 32]);
            let token = tokens.seal(ID, &temporary()).unwrap();
            let at = at.index(token.len());
            let changed = [&token[..at], &to, &token[at + 1..]].concat();
            prop_assert!(changed == token || tokens.open(ID, &changed).is_none());
            prop_assert!(tokens.open(ID, &token[..cut.index(token.len())]).is_none());
            let longer = format!("{token}{to}");
            prop_assert!(tokens.open(ID, &longer).is_none());
            prop_assert!(tokens.open(ID, &text).is_none());
        }
    }
}
