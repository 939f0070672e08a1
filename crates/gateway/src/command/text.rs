//! Text out of bytes as they come: a character that is cut is held back for its rest.

use std::mem;
use std::str;

/// What one output has said so far.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The beginning of a character, at most three bytes.
    held: Vec<u8>,
}

impl Text {
    /// Takes in the next bytes and returns the text up to the last whole character. What is no UTF-8 becomes U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            match str::from_utf8(rest) {
                Ok(good) => {
                    text.push_str(good);
                    return text;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    text.push_str(str::from_utf8(good).unwrap_or_default());
                    let Some(n_bad) = error.error_len() else {
                        self.held = bad.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = bad.get(n_bad..).unwrap_or_default();
                }
            }
        }
    }

    /// Returns what is left when nothing more comes.
    pub(super) fn finish(&mut self) -> &'static str {
        if mem::take(&mut self.held).is_empty() { "" } else { "\u{fffd}" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> String {
        let mut text = Text::default();
        let mut all: String = parts.iter().map(|part| text.push(part)).collect();
        all.push_str(text.finish());
        all
    }

    #[test]
    fn a_character_that_is_cut_is_whole_again() {
        assert_eq!(read(&[b"a\xf0\x9f", b"\x98", b"\x80b"]), "a😀b");
        assert_eq!(read(&[b"a\xf0\x9f", b"b"]), "a\u{fffd}b");
        assert_eq!(read(&[b"\xff\xe4"]), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_what_it_is_whole(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
            let (one, other) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(read(&[one, other]), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_text_stays_as_it_is(said in ".{0,100}", cut in 1_usize..5) {
            let parts: Vec<_> = said.as_bytes().chunks(cut).collect();
            prop_assert_eq!(read(&parts), said);
        }
    }
}
