//! What a caller prefers, as far as it is acted on: not to wait. Source: RFC 7240.

use http::{HeaderMap, HeaderName};
use innkeep_types::ServerProtocol;

/// Source: RFC 7240 section 2.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Source: RFC 7240 section 3.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preference. Source: RFC 7240 section 4.1.
pub(crate) const RESPOND_ASYNC: &str = "respond-async";

/// Tells whether the caller prefers to be answered before the agent has. For how long he would wait first (`wait`) is not looked at.
pub(crate) fn is_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|one| one.split([';', '=']).next().unwrap_or_default());
    names.into_iter().any(|name| name.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// Tells whether agents of a protocol can be asked without waiting. What speaks JSON-RPC answers the request that asked, in sessions and
/// with ids of its own, and has other means: tasks.
pub(crate) fn may_be(protocol: ServerProtocol) -> bool {
    match protocol {
        ServerProtocol::Http | ServerProtocol::AgUi => true,
        ServerProtocol::Mcp | ServerProtocol::A2a => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(values: &[&'static str], expect: bool) {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(PREFER, HeaderValue::from_static(value));
        }
        assert_eq!(is_async(&map), expect, "{values:?}");
    }

    #[test]
    fn the_preference_is_found_among_others() {
        for values in
            [&["respond-async"][..], &["wait=10, Respond-Async"], &["respond-async; x=1"], &["a", "respond-async"]]
        {
            check(values, true);
        }
        for values in
            [&[][..], &[""], &["wait=10"], &["x-respond-async"], &["handling=respond-async"], &["respond-async-x"]]
        {
            check(values, false);
        }
    }
}
