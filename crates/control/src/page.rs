//! Pages of lists: how many, from where, and the token that leads to the next.

use http::Uri;
use ring::hmac;

use crate::request::{hex, query};
use crate::validate::Violations;

/// Items of a page when the caller does not say. Source: ours; the model has only the range.
const DEFAULT_MAX_RESULTS: u32 = 100;

/// Seals cursors into page tokens: `{cursor}.{HMAC}`, bound to one list, so that only what a page gave is taken back.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: hmac::Key,
}

/// What part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// At most so many items, 1 to 100.
    pub(crate) limit: u32,
    /// After this one; from the start if none.
    pub(crate) cursor: Option<T>,
}

impl<T> Page<T> {
    /// Returns how many items to fetch: one more than the page holds tells whether there is a next page.
    pub(crate) fn fetch(&self) -> u32 {
        self.limit + 1
    }
}

impl Tokens {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Returns the page of `list` that the query asks for; `parse` reads a cursor.
    pub(crate) fn page<T>(
        &self,
        list: &str,
        uri: &Uri,
        parse: impl Fn(&str) -> Option<T>,
        found: &mut Violations,
    ) -> Option<Page<T>> {
        let limit = match query(uri, "maxResults") {
            None => Some(DEFAULT_MAX_RESULTS),
            Some(text) => match text.parse::<i64>() {
                Ok(n) => found.range("maxResults", n, 1..=100),
                Err(_) => found.must("maxResults", "be an integer"),
            },
        };
        let cursor = match query(uri, "nextToken") {
            None => Some(None),
            Some(token) => match self.open(list, &token).and_then(parse) {
                Some(cursor) => Some(Some(cursor)),
                None => found.must("nextToken", "be a token that a previous page of the same list returned"),
            },
        };
        Some(Page { limit: limit?, cursor: cursor? })
    }

    /// Cuts what [`Page::fetch`] brought to the page's size, and returns the token of the next page if there is one.
    pub(crate) fn cut<T, C>(
        &self,
        list: &str,
        page: &Page<C>,
        items: &mut Vec<T>,
        cursor: impl Fn(&T) -> String,
    ) -> Option<String> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        if items.len() <= limit {
            return None;
        }
        items.truncate(limit);
        items.last().map(|last| self.seal(list, &cursor(last)))
    }

    fn seal(&self, list: &str, cursor: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{list}\n{cursor}").as_bytes());
        format!("{cursor}.{}", hex(tag.as_ref()))
    }

    /// A forged cursor would show nothing that the list does not, so the comparison need not be constant in time.
    fn open<'t>(&self, list: &str, token: &'t str) -> Option<&'t str> {
        let (cursor, _) = token.rsplit_once('.')?;
        (self.seal(list, cursor) == token).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_the_same_list_and_key_opens() {
        let tokens = Tokens::new(&[7; 32]);
        let token = tokens.seal("a", "x-1");
        assert_eq!(tokens.open("a", &token), Some("x-1"));
        assert_eq!(tokens.open("b", &token), None);
        assert_eq!(Tokens::new(&[8; 32]).open("a", &token), None);
        for bad in ["", ".", "x-1", "x-1.", &token.replace("x-1", "x-2"), &token[..token.len() - 1]] {
            assert_eq!(tokens.open("a", bad), None, "{bad}");
        }
    }
}
