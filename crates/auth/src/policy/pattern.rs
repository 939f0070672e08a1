//! `*` and `?`: any characters, and any one. Compiled once; matching never takes more steps than text times pattern, whatever
//! the pattern: between two stars the first place that fits is taken and never reconsidered, since a later one leaves less.

use memchr::memmem::Finder;

/// A text with wildcards.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Anything,
    Exactly(Box<str>),
    /// What stands before the first star, between stars, and after the last one. At least two.
    Pieces(Box<[Piece]>),
}

/// What stands between stars.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    text: Box<str>,
    /// Made once: preparing a search takes longer than it does, in texts as short as ARNs.
    finder: Finder<'static>,
    /// Whether a `?` is in it.
    has_gaps: bool,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        match pattern {
            _ if !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*') => Self::Anything,
            _ if !pattern.contains(['*', '?']) => Self::Exactly(pattern.into()),
            _ => Self::Pieces(pattern.split('*').map(Piece::new).collect()),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(expect) => expect.len() == text.len() && starts_with(text.bytes(), expect.bytes()),
            Self::Pieces(pieces) => pieces_match(pieces, text),
        }
    }
}

fn pieces_match(pieces: &[Piece], text: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    let Some(head) = first.starts(text) else { return false };
    let Some((last, middle)) = rest.split_last() else { return head == text.len() };
    let mut left = &text[head..];
    for piece in middle {
        match piece.find_end(left) {
            Some(end) => left = &left[end..],
            None => return false,
        }
    }
    last.ends(left)
}

impl Piece {
    fn new(text: &str) -> Self {
        Self { text: text.into(), finder: Finder::new(text).into_owned(), has_gaps: text.contains('?') }
    }

    /// Returns how many bytes of `text` it takes, if `text` starts with it.
    fn starts(&self, text: &str) -> Option<usize> {
        if !self.has_gaps {
            return starts_with(text.bytes(), self.text.bytes()).then_some(self.text.len());
        }
        let mut given = text.chars();
        for expect in self.text.chars() {
            let found = given.next()?;
            if expect != '?' && expect != found {
                return None;
            }
        }
        Some(text.len() - given.as_str().len())
    }

    /// Returns where its first occurrence in `text` ends.
    fn find_end(&self, text: &str) -> Option<usize> {
        if !self.has_gaps {
            return self.finder.find(text.as_bytes()).map(|at| at + self.text.len());
        }
        text.char_indices().find_map(|(at, _)| self.starts(&text[at..]).map(|len| at + len))
    }

    fn ends(&self, text: &str) -> bool {
        if !self.has_gaps {
            return starts_with(text.bytes().rev(), self.text.bytes().rev());
        }
        // As many characters from the end as it has.
        let n_before = self.text.chars().count().saturating_sub(1);
        let start = text.char_indices().rev().nth(n_before).map(|(at, _)| at);
        start.is_some_and(|start| self.starts(&text[start..]).is_some())
    }
}

/// Byte by byte: of some ten bytes that is several times as fast as a call of `memcmp`, where the time went before.
fn starts_with(mut text: impl Iterator<Item = u8>, mut piece: impl Iterator<Item = u8>) -> bool {
    piece.all(|expect| text.next() == Some(expect))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By definition, and exponential.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some((expect, rest)) => match text.split_first() {
                Some((found, left)) => (expect == found || *expect == '?') && naive(rest, left),
                None => false,
            },
        }
    }

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), expect, "{pattern:?} {text:?}");
    }

    #[test]
    fn stars_and_question_marks() {
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("**", "anything", true);
        check("?", "", false);
        check("?", "é", true);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("*?", "", false);
        check("*ab?d*", "xxabxabcdx", true);
        check("*aab", "aaab", true);
        check("*:runtime/a-*", "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/a-0123456789", true);
    }

    #[test]
    fn a_pattern_made_to_blow_up_does_not() {
        let (pattern, text) = ("*a?".repeat(700) + "b", "a".repeat(2000));
        check(&pattern, &text, false);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab?*é]{0,9}", text in "[abé]{0,12}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), naive(&p, &t), "{:?} {:?}", pattern, text);
        }
    }
}
