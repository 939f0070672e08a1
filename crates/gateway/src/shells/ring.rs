//! What a terminal printed last: bytes, whatever they mean, and of too many the oldest go.

use std::collections::VecDeque;

/// The last bytes, at most so many. Takes only as much memory as was printed.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: VecDeque<u8>,
    max_bytes: usize,
}

impl Ring {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { bytes: VecDeque::new(), max_bytes }
    }

    /// Adds what was printed.
    pub(crate) fn push(&mut self, printed: &[u8]) {
        let kept = printed.get(printed.len().saturating_sub(self.max_bytes)..).unwrap_or_default();
        let overflow = (self.bytes.len() + kept.len()).saturating_sub(self.max_bytes);
        self.bytes.drain(..overflow.min(self.bytes.len()));
        self.bytes.extend(kept);
    }

    /// Returns them, the oldest first.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_go_even_in_the_middle_of_a_character() {
        let mut ring = Ring::new(4);
        ring.push("aä".as_bytes());
        ring.push("öb".as_bytes());
        assert_eq!(ring.to_vec(), b"\xA4\xC3\xB6b");
        ring.push(b"");
        ring.push(b"0123456789");
        assert_eq!(ring.to_vec(), b"6789");
        let mut none = Ring::new(0);
        none.push(b"anything");
        assert_eq!(none.to_vec(), b"");
    }

    proptest! {
        #[test]
        fn it_holds_the_end_of_all_that_was_printed(
            printed in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            max in 0_usize..100,
        ) {
            let mut ring = Ring::new(max);
            for part in &printed {
                ring.push(part);
                prop_assert!(ring.bytes.len() <= max && ring.bytes.capacity() <= 2 * max.max(4));
            }
            let all = printed.concat();
            prop_assert_eq!(ring.to_vec(), &all[all.len().saturating_sub(max)..]);
        }
    }
}
