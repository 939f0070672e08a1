//! SHA-256, at once and as a body arrives, and its hexadecimal form.

use std::fmt;

use ring::digest::{Context, SHA256};

/// The SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Digest(Context);

impl Digest {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds the next piece. Takes about 0.5 ms a megabyte: feed large bodies off the async workers.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the SHA-256 of all pieces.
    pub fn finish(self) -> [u8; 32] {
        to_array(self.0.finish())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    to_array(ring::digest::digest(&SHA256, bytes))
}

/// Returns `bytes` as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
    }
    digits
}

/// Reads what [`to_hex`] writes. Upper case is refused, so that a value has one spelling.
pub(crate) fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (from_hex_digit(pair[0])? << 4) | from_hex_digit(pair[1])?;
    }
    Some(bytes)
}

fn to_array(digest: ring::digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn from_hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &[u8] = b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn pieces_and_whole_have_the_published_digest() {
        assert_eq!(to_hex(&digest(b"abc")), OF_ABC);
        let mut pieces = Digest::new();
        pieces.update(b"a");
        pieces.update(b"");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), digest(b"abc"));
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(from_hex(OF_ABC), Some(digest(b"abc")));
        assert_eq!(from_hex(&OF_ABC.to_ascii_uppercase()), None);
        assert_eq!(from_hex(&OF_ABC[1..]), None);
        assert_eq!(from_hex(&[b'g'; 64]), None);
    }
}
