//! Signing keys: derived from a secret and a scope, and remembered.

use std::collections::HashMap;
use std::fmt;

use parking_lot::RwLock;
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::Digest;

/// Keys that are remembered. A server has a few callers in a few regions, and one day at a time.
const CAPACITY: usize = 1024;

/// Derived signing keys, so that a warm request costs one HMAC and not five. Bounded.
///
/// A key is filed under the digest of everything that it depends on: a changed secret finds nothing, and no secret is kept.
#[derive(Default)]
pub struct SigningKeys {
    by_origin: RwLock<HashMap<[u8; 32], Key>>,
}

impl SigningKeys {
    /// Runs `check` with the key of `secret` and `scope`, and remembers the key if it was the right one: who only knows an access
    /// key id cannot push other keys out.
    pub(super) fn check(&self, secret: &str, scope: &str, check: impl FnOnce(&Key) -> bool) -> bool {
        let origin = origin(secret, scope);
        let known = self.by_origin.read().get(&origin).cloned();
        if let Some(key) = known {
            return check(&key);
        }
        let key = derive(secret, scope);
        let is_right = check(&key);
        if is_right {
            let mut keys = self.by_origin.write();
            // Yesterday's keys go this way too, and today's are quickly made again.
            if keys.len() >= CAPACITY {
                keys.clear();
            }
            keys.insert(origin, key);
        }
        is_right
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("n_keys", &self.by_origin.read().len()).finish()
    }
}

/// Returns the key with which requests of `scope` are signed: an HMAC for the secret and each of the scope's parts.
pub(super) fn derive(secret: &str, scope: &str) -> Key {
    let initial = Key::new(HMAC_SHA256, ["AWS4", secret].concat().as_bytes());
    scope.split('/').fold(initial, |key, part| Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref()))
}

/// A scope has no line break, so no two pairs are the same text.
fn origin(secret: &str, scope: &str) -> [u8; 32] {
    let mut digest = Digest::new();
    digest.update(scope.as_bytes());
    digest.update(b"\n");
    digest.update(secret.as_bytes());
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "20150830/us-east-1/iam/aws4_request";

    #[test]
    fn only_the_right_key_is_remembered() {
        let keys = SigningKeys::default();
        assert!(!keys.check("secret", SCOPE, |_| false));
        assert_eq!(format!("{keys:?}"), "SigningKeys { n_keys: 0 }");
        assert!(keys.check("secret", SCOPE, |_| true));
        assert!(keys.check("secret", SCOPE, |_| true));
        assert_eq!(format!("{keys:?}"), "SigningKeys { n_keys: 1 }");
    }

    #[test]
    fn a_changed_secret_gets_its_own_key() {
        let keys = SigningKeys::default();
        let tag = |key: &Key| sign(key, b"x").as_ref().to_vec();
        let mut tags = Vec::new();
        for secret in ["old", "new", "old"] {
            assert!(keys.check(secret, SCOPE, |key| {
                tags.push(tag(key));
                true
            }));
        }
        assert_eq!(tags, ["old", "new", "old"].map(|secret| tag(&derive(secret, SCOPE))));
    }

    #[test]
    fn the_cache_is_bounded() {
        let keys = SigningKeys::default();
        for n in 0..=CAPACITY {
            assert!(keys.check(&n.to_string(), SCOPE, |_| true));
        }
        assert_eq!(format!("{keys:?}"), "SigningKeys { n_keys: 1 }");
    }
}
