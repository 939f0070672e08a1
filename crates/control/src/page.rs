//! Pages of lists: how many, from where, and the token that leads to the next.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use innkeep_types::UnixMillis;
use ring::hmac;

use crate::request::query;
use crate::validate::Violations;

/// Items of a page when the caller does not say. Source: ours; the model has only the range.
const DEFAULT_MAX_RESULTS: u32 = 100;

/// Bytes of an HMAC.
const TAG_BYTES: usize = ring::digest::SHA256_OUTPUT_LEN;

/// Seals cursors into page tokens: HMAC and cursor in one text of base64, which nobody is tempted to read. It is bound to one
/// list, so that only what a page gave is taken back.
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
        parse: impl FnOnce(&str) -> Option<T>,
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
            Some(token) => match self.open(list, &token).as_deref().and_then(parse) {
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
        let tag = hmac::sign(&self.key, bound(list, cursor).as_bytes());
        URL_SAFE_NO_PAD.encode([tag.as_ref(), cursor.as_bytes()].concat())
    }

    fn open(&self, list: &str, token: &str) -> Option<String> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, cursor) = token.split_at_checked(TAG_BYTES)?;
        let cursor = str::from_utf8(cursor).ok()?;
        hmac::verify(&self.key, bound(list, cursor).as_bytes(), tag).ok()?;
        Some(cursor.to_owned())
    }
}

fn bound(list: &str, cursor: &str) -> String {
    format!("{list}\n{cursor}")
}

/// Returns the cursor of a list in the order of creation: when its last item was created, and its id.
pub(crate) fn created(at: UnixMillis, id: impl std::fmt::Display) -> String {
    format!("{}_{id}", at.0)
}

/// Reads such a cursor. The item need not exist any more.
pub(crate) fn after<I: FromStr>(cursor: &str) -> Option<(UnixMillis, I)> {
    let (created_at, id) = cursor.split_once('_')?;
    Some((UnixMillis(created_at.parse().ok()?), id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_the_same_list_and_key_opens() {
        let tokens = Tokens::new(&[7; 32]);
        let token = tokens.seal("a", "x-1");
        assert_eq!(tokens.open("a", &token).as_deref(), Some("x-1"));
        assert_eq!(tokens.open("b", &token), None);
        assert_eq!(Tokens::new(&[8; 32]).open("a", &token), None);
        let (end, other) = (&token[..token.len() - 4], tokens.seal("a", "x-2"));
        let forged = format!("{end}{}", &other[other.len() - 4..]);
        for bad in ["", ".", "x-1", &forged, end, &format!("{token}A"), &format!("{token}=")] {
            assert_eq!(tokens.open("a", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_does_not_show_where_its_page_ends() {
        let token = Tokens::new(&[7; 32]).seal("runtimes", "1700000000000_hello-0123456789");
        assert!(!token.contains("hello") && !token.contains("1700000000000"), "{token}");
    }
}
