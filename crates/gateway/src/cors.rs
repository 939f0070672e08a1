//! Which pages of a browser may call agents: the origins that settings list. Nobody is let in by this, only told about in his page's
//! words what he was let in to. Source: Fetch standard, "CORS protocol"; RFC 6455 section 10.2 for sockets.

use std::fmt;
use std::str::FromStr;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, request};

use crate::error::Error;
use crate::route;
use crate::stream::GatewayBody;

/// Seconds for which a browser remembers what a preflight told. Source: our choice: a list that was changed is known soon.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What pages may do: all that the data plane has.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");

/// What pages may read besides what all may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id, X-Amzn-RequestId, X-Amzn-ErrorType, X-Innkeep-Error-Source, X-Innkeep-Start, \
     X-Innkeep-Version, Server-Timing, Retry-After, WWW-Authenticate, Location, Preference-Applied, X-Innkeep-Invocation-State, Mcp-Session-Id, Mcp-Protocol-Version, \
     X-Amzn-Trace-Id, traceparent, tracestate, baggage",
);

/// Where pages come from: scheme, host and port as browsers write them; or `*`, anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin: write scheme, host and port as in https://app.example.com or http://localhost:3000, or * for any"
)]
pub struct BadOrigin(String);

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let bad = || BadOrigin(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(bad()) };
        let is_whole = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
        let is_plain = !authority.as_str().contains(['@', '*']) && !authority.host().is_empty();
        if !is_whole || !is_plain || authority.as_str().ends_with(':') {
            return Err(bad());
        }
        let port = match (scheme, authority.port_u16()) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        Ok(Self(format!("{scheme}://{}{port}", authority.host()).to_ascii_lowercase()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is granted to pages.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    listed: Vec<HeaderValue>,
    is_open: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Grant {
    Nothing,
    /// Whoever it is, without what the browser itself would add.
    Anybody,
    /// This one.
    Listed(HeaderValue),
}

impl Cors {
    pub(crate) fn new(origins: &[Origin]) -> Self {
        let listed = origins.iter().filter(|origin| origin.0 != "*");
        Self {
            listed: listed.filter_map(|origin| HeaderValue::from_str(&origin.0).ok()).collect(),
            is_open: origins.iter().any(|origin| origin.0 == "*"),
        }
    }

    fn is_off(&self) -> bool {
        self.listed.is_empty() && !self.is_open
    }

    fn grant(&self, headers: &HeaderMap) -> Grant {
        match headers.get(ORIGIN) {
            Some(origin) if self.listed.contains(origin) => Grant::Listed(origin.clone()),
            Some(_) if self.is_open => Grant::Anybody,
            _ => Grant::Nothing,
        }
    }

    /// Adds to an answer that the page which asked may read it, if it may.
    pub(crate) fn label(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        if self.is_off() {
            return;
        }
        let grant = self.grant(asked);
        if grant != Grant::Nothing {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        self.allow(grant, answer);
    }

    fn allow(&self, grant: Grant, answer: &mut HeaderMap) {
        if !self.listed.is_empty() {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
        match grant {
            Grant::Nothing => {}
            Grant::Anybody => drop(answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))),
            Grant::Listed(origin) => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }

    /// Refuses a socket to a page that is not listed: browsers ask nobody before they open one. Who is no browser names no origin.
    pub(crate) fn check_socket(&self, head: &request::Parts) -> Result<(), Error> {
        let is_granted =
            self.is_off() || !head.headers.contains_key(ORIGIN) || self.grant(&head.headers) != Grant::Nothing;
        if is_granted { Ok(()) } else { Err(Error::ForeignOrigin) }
    }

    /// Returns what a browser is told that asks before a page's request; none if this is no such question, or pages are granted nothing.
    /// Asked without authentication: that is how browsers ask.
    pub(crate) fn preflight(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<GatewayBody>> {
        let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if self.is_off() || method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
            return None;
        }
        route(&Method::from_bytes(asked.as_bytes()).ok()?, path)?;
        let grant = self.grant(headers);
        let mut response = Response::new(GatewayBody::whole(bytes::Bytes::new()));
        *response.status_mut() = if grant == Grant::Nothing { StatusCode::FORBIDDEN } else { StatusCode::NO_CONTENT };
        let answer = response.headers_mut();
        if grant != Grant::Nothing {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            // All of them: what an agent is told of, its version's allow-list says. `*` would leave Authorization out.
            if let Some(names) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
                answer.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            }
        }
        self.allow(grant, answer);
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(text.parse().ok().map(|origin: Origin| origin.to_string()).as_deref(), expect, "{text}");
        };
        check("*", Some("*"));
        check("https://App.Example.com", Some("https://app.example.com"));
        check("https://app.example.com:443/", Some("https://app.example.com"));
        check("http://localhost:3000", Some("http://localhost:3000"));
        check("http://[::1]:80", Some("http://[::1]"));
        check("tauri://localhost", Some("tauri://localhost"));
        for bad in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://*.example.com",
            "https://a:",
            "https://a b",
            "/",
        ] {
            check(bad, None);
        }
    }

    fn cors(origins: &[&str]) -> Cors {
        Cors::new(&origins.iter().map(|origin| origin.parse().unwrap()).collect::<Vec<_>>())
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    /// Returns who is allowed, whether with credentials, and whether it varies.
    fn labels(origins: &[&str], origin: Option<&'static str>) -> (Option<String>, bool, bool) {
        let asked = headers(&origin.map(|origin| ("origin", origin)).into_iter().collect::<Vec<_>>());
        let mut answer = HeaderMap::new();
        cors(origins).label(&asked, &mut answer);
        let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), allowed.is_some());
        (allowed, answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS), answer.contains_key(VARY))
    }

    #[test]
    fn credentials_are_for_those_who_are_listed_and_never_for_anybody() {
        let a = Some("https://a.example".to_owned());
        let any = Some("*".to_owned());
        assert_eq!(labels(&[], Some("https://a.example")), (None, false, false));
        assert_eq!(labels(&["https://a.example"], Some("https://a.example")), (a.clone(), true, true));
        assert_eq!(labels(&["https://a.example"], Some("https://b.example")), (None, false, true));
        assert_eq!(labels(&["https://a.example"], Some("null")), (None, false, true));
        assert_eq!(labels(&["https://a.example"], None), (None, false, true));
        assert_eq!(labels(&["*"], Some("https://b.example")), (any.clone(), false, false));
        assert_eq!(labels(&["*"], Some("null")), (any.clone(), false, false));
        assert_eq!(labels(&["*", "https://a.example"], Some("https://a.example")), (a, true, true));
        assert_eq!(labels(&["*", "https://a.example"], Some("https://b.example")), (any, false, true));
    }

    #[test]
    fn a_preflight_is_answered_for_what_the_data_plane_has() {
        let check = |origins: &[&str], method: &Method, path: &str, lines: &[(&'static str, &'static str)]| {
            cors(origins).preflight(method, path, &headers(lines)).map(|answer| answer.status().as_u16())
        };
        let asks = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
        let of_a = ["https://a.example"];
        let cancels = [("origin", "https://a.example"), ("access-control-request-method", "DELETE")];
        assert_eq!(check(&of_a, &Method::OPTIONS, "/innkeep/v1/invocations/0af7", &cancels), Some(204));
        assert!(METHODS.to_str().unwrap().contains("DELETE"));
        assert_eq!(check(&of_a, &Method::OPTIONS, "/agents/hello/invocations", &asks), Some(204));
        assert_eq!(check(&["*"], &Method::OPTIONS, "/runtimes/a/invocations", &asks), Some(204));
        assert_eq!(check(&["https://b.example"], &Method::OPTIONS, "/runtimes/a/invocations", &asks), Some(403));
        assert_eq!(check(&[], &Method::OPTIONS, "/agents/hello/invocations", &asks), None);
        assert_eq!(check(&of_a, &Method::OPTIONS, "/innkeep/v1/sessions", &asks), None);
        assert_eq!(check(&of_a, &Method::OPTIONS, "/agents/hello/ws", &asks), None, "nobody posts there");
        assert_eq!(check(&of_a, &Method::POST, "/agents/hello/invocations", &asks), None);
        assert_eq!(check(&of_a, &Method::OPTIONS, "/agents/hello/invocations", &asks[..1]), None);
        assert_eq!(check(&of_a, &Method::OPTIONS, "/agents/hello/invocations", &asks[1..]), None);
    }
}
