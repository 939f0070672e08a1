//! The operator's bearer token: who has it may operate the server. For scrapers and scripts that cannot sign.

use std::fmt::{self, Write as _};

use ring::hmac;

/// 32 random bytes, spelled as 64 hexadecimal digits.
pub struct OperatorToken(String);

impl OperatorToken {
    /// Returns the token made of these random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in random {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Returns the token spelled so; none if it is no 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_token.then(|| Self(text.to_ascii_lowercase()))
    }

    /// Returns its spelling, for the one file that keeps it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Tells whether `given` is the token, in a time that depends on the length of `given` alone: what is compared are MACs under
    /// the token, which nobody without it can steer.
    pub fn is(&self, given: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let expected = hmac::sign(&key, self.0.as_bytes());
        hmac::verify(&key, given, expected.as_ref()).is_ok()
    }
}

/// Shows nothing of it.
impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_it() {
        let token = OperatorToken::new([0xa7; 32]);
        let text = "a7".repeat(32);
        assert_eq!(token.reveal(), text);
        assert!(token.is(text.as_bytes()));
        for wrong in ["", "a7", &text[1..], &format!("{text}0"), &"a8".repeat(32), &"A7".repeat(32)] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(OperatorToken::parse(&text).is_some_and(|token| token.is(text.as_bytes())));
        assert!(OperatorToken::parse(&"x7".repeat(32)).is_none() && OperatorToken::parse("").is_none());
        assert!(!format!("{token:?}").contains("a7a7"));
    }
}
