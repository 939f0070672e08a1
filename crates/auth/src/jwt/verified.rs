//! Signatures that were found right, remembered, so that a warm request costs a digest and not arithmetic on large numbers.

use std::collections::HashSet;
use std::fmt;

use parking_lot::RwLock;

use super::Token;
use crate::Digest;

/// Tokens that are remembered: of the callers of one issuer within a token's life. Each takes some 50 bytes.
const CAPACITY: usize = 10_000;

/// Tokens whose signature one key set found right. Bounded.
///
/// A signature does not become wrong, so nothing here expires; time and claims are checked each time. What is remembered belongs to
/// its keys and goes with them, so that a key that its issuer takes back is not believed any longer.
#[derive(Default)]
pub(super) struct Verified {
    tokens: RwLock<HashSet<[u8; 32]>>,
}

impl Verified {
    /// Returns whether the signature of `token` is right, which `check` tells of those that are not known. A wrong one is not
    /// remembered: who has no token cannot push others out.
    pub(super) fn is_right(&self, token: &Token, check: impl FnOnce() -> bool) -> bool {
        let digest = digest(token);
        if self.tokens.read().contains(&digest) {
            return true;
        }
        let is_right = check();
        if is_right {
            let mut tokens = self.tokens.write();
            // Old tokens go this way too, and what is still used is quickly found right again.
            if tokens.len() >= CAPACITY {
                tokens.clear();
            }
            tokens.insert(digest);
        }
        is_right
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("n_tokens", &self.tokens.read().len()).finish()
    }
}

/// What is signed is base64url with one dot, so no two tokens are the same bytes.
fn digest(token: &Token) -> [u8; 32] {
    let mut digest = Digest::new();
    digest.update(token.signed());
    digest.update(b"\n");
    digest.update(token.signature());
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of this signature.
    fn token(n: u64) -> Token {
        let signature = format!("{n:08}");
        Token::parse(&format!("eyJhbGciOiJFUzI1NiJ9.e30.{signature}")).unwrap()
    }

    #[test]
    fn only_a_right_signature_is_remembered() {
        let verified = Verified::default();
        assert!(!verified.is_right(&token(1), || false));
        assert!(verified.is_right(&token(1), || true));
        assert!(verified.is_right(&token(1), || unreachable!("it is known")));
        assert!(!verified.is_right(&token(2), || false));
        assert_eq!(format!("{verified:?}"), "Verified { n_tokens: 1 }");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let verified = Verified::default();
        for n in 0..=10_000 {
            assert!(verified.is_right(&token(n), || true));
        }
        assert_eq!(format!("{verified:?}"), "Verified { n_tokens: 1 }");
    }
}
