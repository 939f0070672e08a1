//! What callers are told of where things are: a runtime's own URL, and that of the document that says who issues its tokens.

use http::header::HOST;
use http::request;
use http::uri::Authority;
use innkeep_auth::policy::Via;
use innkeep_types::RuntimeArn;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::target::{Home, Target};

/// What stays as it is in an ARN that is one segment of a path. Source: RFC 3986 section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the URL under which the caller found this server: the one that settings give, or the one that the request has. None if it
/// has none that could be told.
pub(crate) fn base(public_url: Option<&str>, head: &request::Parts) -> Option<String> {
    if let Some(url) = public_url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let of_header = || Authority::try_from(head.headers.get(HOST)?.as_bytes()).ok();
    let authority = head.uri.authority().cloned().or_else(of_header)?;
    let scheme = if head.extensions.get::<Via>().is_some_and(|via| via.secure) { "https" } else { "http" };
    (!authority.as_str().contains('@')).then(|| format!("{scheme}://{authority}"))
}

/// Returns the URL of invocations of `target`.
pub(crate) fn resource(base: &str, home: &Home, target: &Target) -> String {
    format!("{}?qualifier={}", invocations(base, home, target), target.endpoint)
}

/// Returns the URL of its protected resource metadata.
pub(crate) fn metadata(base: &str, home: &Home, target: &Target) -> String {
    let invocations = invocations(base, home, target);
    format!("{invocations}/.well-known/oauth-protected-resource?qualifier={}", target.endpoint)
}

fn invocations(base: &str, home: &Home, target: &Target) -> String {
    let arn = RuntimeArn::new(home.region.clone(), home.account.clone(), target.runtime.clone()).to_string();
    format!("{base}/runtimes/{}/invocations", utf8_percent_encode(&arn, UNRESERVED))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_base_is_what_settings_say_or_what_the_caller_asked() {
        let check = |public_url, host: &str, expect: Option<&str>| {
            let head = Request::get("/").header(HOST, host).body(()).unwrap().into_parts().0;
            assert_eq!(base(public_url, &head).as_deref(), expect, "{host}");
        };
        check(None, "agents.example:7080", Some("http://agents.example:7080"));
        check(Some("https://agents.example/"), "10.0.0.1", Some("https://agents.example"));
        check(None, "a\" evil=\"", None);
        check(None, "user@agents.example", None);
        check(None, "", None);
    }

    #[test]
    fn who_came_by_tls_is_told_so() {
        let via = Via { peer: std::net::Ipv4Addr::LOCALHOST.into(), secure: true };
        let head = Request::get("/").header(HOST, "agents.example").extension(via).body(()).unwrap().into_parts().0;
        assert_eq!(base(None, &head).as_deref(), Some("https://agents.example"));
    }
}
