//! Whatever comes in a head, reading it ends in a result.

use http::{HeaderName, HeaderValue};
use innkeep_auth::sigv4::Signed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::request::{NOW, Request};

/// Headers that the parser looks into.
const READ: [&str; 6] = ["authorization", "x-amz-date", "date", "x-amz-content-sha256", "x-amz-security-token", "host"];

fn parse(request: &Request) {
    let _ = Signed::parse(&request.method, &request.target, &request.headers, NOW);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_in_any_header(name in select(&READ[..]), bytes in vec(any::<u8>(), 0..400), is_removed in any::<bool>()) {
        let mut request = Request::invoke().signed(Some("token"));
        if is_removed {
            request.headers.remove("x-amz-date");
        }
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            request.headers.insert(HeaderName::from_static(name), value);
        }
        parse(&request);
    }

    #[test]
    fn a_good_authorization_with_bytes_changed(edits in vec((any::<Index>(), any::<u8>()), 0..4), cut in any::<Index>()) {
        let mut request = Request::invoke().signed(None);
        let mut bytes = request.authorization().as_bytes().to_vec();
        edits.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        bytes.truncate(cut.index(2 * bytes.len()));
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            request.headers.insert("authorization", value);
        }
        parse(&request);
    }

    #[test]
    fn any_target(target in any::<String>()) {
        parse(&Request { target, ..Request::invoke().signed(None) });
    }
}
