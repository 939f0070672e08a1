//! The caller's half of a WebSocket's handshake. Browsers can set no headers there: what they say in the query and as a subprotocol
//! is put where all others say it. Source: RFC 6455, section 4; AgentCore developer guide, WebSocket streaming.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, request};
use hyper::body::Body;
use hyper::upgrade::OnUpgrade;
use innkeep_protocol::headers;
use percent_encoding::percent_decode_str;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::call::Caller;
use crate::error::Error;
use crate::inbound::Inbound;
use crate::stream::GatewayBody;

/// The one subprotocol. Another that is offered beside it ends in the token.
const BEARER: &str = "base64UrlBearerAuthorization";

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// A caller who may become the one end of a WebSocket.
#[derive(Debug)]
pub(crate) struct Handshake {
    key: HeaderValue,
    accept: HeaderValue,
    speaks_bearer: bool,
    /// What a presigned URL does not sign, and nobody is told.
    unheard: Vec<HeaderName>,
    pub(crate) upgrade: OnUpgrade,
}

impl Handshake {
    /// Reads a request that asks for a socket, and notes for the record what nobody is told of it.
    pub(crate) fn begin(head: &mut request::Parts, body: &Inbound, caller: &mut Caller) -> Result<Self, Error> {
        let mut handshake = Self::read(head)?;
        caller.unheard = std::mem::take(&mut handshake.unheard);
        if !body.is_end_stream() {
            return Err(Error::field("payload", "must be empty".to_owned()));
        }
        Ok(handshake)
    }

    /// Reads the head of a request, and moves into its headers what is said elsewhere.
    fn read(head: &mut request::Parts) -> Result<Self, Error> {
        let upgrade = check(head)?;
        take_host(&mut head.headers);
        let key = first(&head.headers, &SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key")?;
        if STANDARD.decode(key.as_bytes()).ok().is_none_or(|key| key.len() != 16) {
            return Err(Error::field("Sec-WebSocket-Key", "must be 16 bytes as base64".to_owned()));
        }
        let key = key.clone();
        let speaks_bearer = take_bearer(&mut head.headers)?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let unheard = drop_unsigned(&query, &mut head.headers);
        take_query(&query, &mut head.headers)?;
        Ok(Self { accept: accept(&key), key, speaks_bearer, unheard, upgrade })
    }

    /// Adds to the headers of a request to the agent what makes it one to upgrade. No subprotocol and no extension is asked for: the
    /// one that there is belongs to us, and compressed frames could not be measured.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// Tells whether an agent's 101 agrees to what was asked.
    pub(crate) fn is_answered(&self, agent: &HeaderMap) -> bool {
        let says_websocket = agent.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let adds_something = agent.contains_key(SEC_WEBSOCKET_EXTENSIONS) || agent.contains_key(SEC_WEBSOCKET_PROTOCOL);
        says_websocket && !adds_something && agent.get(SEC_WEBSOCKET_ACCEPT) == Some(&self.accept)
    }

    /// Returns the caller's answer that agrees, with these headers.
    pub(crate) fn switch(&self, mut headers: HeaderMap) -> Response<GatewayBody> {
        // There is no content.
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_ENCODING);
        self.agree(&mut headers);
        let mut response = Response::new(GatewayBody::whole(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }

    /// Adds to the headers of the caller's answer what agrees.
    fn agree(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if self.speaks_bearer {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
        }
    }
}

fn check(head: &request::Parts) -> Result<OnUpgrade, Error> {
    let asks = tokens(&head.headers, &UPGRADE).any(|to| to.eq_ignore_ascii_case("websocket"))
        && tokens(&head.headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
        && head.method == Method::GET
        && head.version == Version::HTTP_11;
    let upgrade = head.extensions.get::<OnUpgrade>().filter(|_| asks).cloned();
    let rule = "must ask for websocket, over HTTP/1.1, with Connection: Upgrade";
    let upgrade = upgrade.ok_or_else(|| Error::field("Upgrade", rule.to_owned()))?;
    if first(&head.headers, &SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version")? != "13" {
        return Err(Error::field("Sec-WebSocket-Version", "must be 13".to_owned()));
    }
    Ok(upgrade)
}

/// Returns the value that a client's own library gave: clients of the SDK say handshake headers once more, and mean the first.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName, member: &'static str) -> Result<&'a HeaderValue, Error> {
    headers.get(name).ok_or_else(|| Error::field(member, "must be given".to_owned()))
}

/// A host that is said twice, as those clients do, is one if it is the same; signatures are good with one.
fn take_host(headers: &mut HeaderMap) {
    let mut values = headers.get_all(HOST).iter();
    let Some(host) = values.next().cloned() else { return };
    if values.all(|other| *other == host) {
        headers.insert(HOST, host);
    }
}

/// Returns the items of a header that is a list; what is no text is none.
fn tokens<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Moves a token that is offered as a subprotocol to where tokens are. Tells whether the one subprotocol is offered.
fn take_bearer(headers: &mut HeaderMap) -> Result<bool, Error> {
    let refuse = |rule: &str| Err(Error::field("Sec-WebSocket-Protocol", rule.to_owned()));
    let mut speaks_bearer = false;
    let mut bearer = None;
    for offered in tokens(headers, &SEC_WEBSOCKET_PROTOCOL) {
        match offered.strip_prefix(BEARER) {
            Some("") => speaks_bearer = true,
            Some(rest) => {
                let Some(encoded) = rest.strip_prefix('.') else { continue };
                if bearer.is_some() || headers.contains_key(AUTHORIZATION) {
                    return refuse("must hold one token, and none if the Authorization header is there");
                }
                let token = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
                let value = token.map(|token| [b"Bearer ", token.as_slice()].concat()).ok();
                let value = value.and_then(|value| HeaderValue::from_bytes(&value).ok());
                let Some(mut value) = value else { return refuse("must hold a token in base64url") };
                value.set_sensitive(true);
                bearer = Some(value);
            }
            None => {}
        }
    }
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(speaks_bearer)
}

/// What a presigned request may have besides what its URL signs: what a WebSocket needs, and nothing that an agent is told.
const UNSIGNED: [HeaderName; 9] = [
    CONNECTION,
    HOST,
    ORIGIN,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    UPGRADE,
    USER_AGENT,
];

/// Drops the headers of a presigned request that its URL does not sign: whoever was given the URL may use it, and says nothing in the
/// name of who signed. Returns their names.
fn drop_unsigned(query: &str, headers: &mut HeaderMap) -> Vec<HeaderName> {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if parameter("X-Amz-Signature").is_none() || headers.contains_key(AUTHORIZATION) {
        return Vec::new();
    }
    let signed = percent_decode_str(parameter("X-Amz-SignedHeaders").unwrap_or_default()).decode_utf8_lossy();
    let is_signed = |name: &HeaderName| signed.split(';').any(|signed| signed == name.as_str());
    let unsigned: Vec<_> =
        headers.keys().filter(|name| !UNSIGNED.contains(name) && !is_signed(name)).cloned().collect();
    for name in &unsigned {
        headers.remove(name);
    }
    unsigned
}

/// Moves session and custom headers from the query to where they belong; a header that says something else is a contradiction.
fn take_query(query: &str, headers: &mut HeaderMap) -> Result<(), Error> {
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let name = name.to_ascii_lowercase();
        if name != headers::SESSION_ID.as_str() && !name.starts_with(headers::CUSTOM_PREFIX) {
            continue;
        }
        let member = if name == headers::SESSION_ID.as_str() { "runtimeSessionId" } else { "customHeaders" };
        // The SDK and browsers write a space as a form does.
        let value = percent_decode_str(&value.replace('+', " ")).collect::<Vec<u8>>();
        let value = HeaderValue::from_bytes(&value);
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) else {
            return Err(Error::field(member, "must be what a header can hold".to_owned()));
        };
        if headers.get(&name).is_some_and(|other| *other != value) {
            return Err(Error::field(member, format!("{name} is given twice, with two values")));
        }
        headers.insert(name, value);
    }
    Ok(())
}

/// Returns what proves that a key was read. Source: RFC 6455, section 4.2.2.
fn accept(key: &HeaderValue) -> HeaderValue {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_given_a_url_adds_nothing_that_an_agent_is_told() {
        let sent = ["host", "upgrade", "x-signed", "x-role", "baggage", "x-amzn-bedrock-agentcore-runtime-session-id"];
        let left = |query: &str| {
            let mut headers: HeaderMap =
                sent.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a"))).collect();
            drop_unsigned(query, &mut headers);
            sent.iter().filter(|name| headers.contains_key(**name)).copied().collect::<Vec<_>>()
        };
        let presigned = "X-Amz-SignedHeaders=host%3Bx-signed&X-Amz-Signature=00";
        assert_eq!(left(presigned), ["host", "upgrade", "x-signed"]);
        assert_eq!(left("qualifier=DEFAULT"), sent);
    }

    #[test]
    fn the_accept_is_that_of_the_standards_example() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[track_caller]
    fn check_bearer(authorization: Option<&str>, offered: &str, expect: Result<(bool, Option<&str>), ()>) {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::try_from(offered).unwrap());
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        }
        let found = take_bearer(&mut headers).map_err(drop);
        let found = found.map(|speaks| (speaks, headers.get(AUTHORIZATION).map(|v| v.to_str().unwrap())));
        assert_eq!(found, expect, "{offered}");
    }

    #[test]
    fn a_token_may_come_as_a_subprotocol() {
        // "a.b.c"
        let with_token = "base64UrlBearerAuthorization.YS5iLmM, base64UrlBearerAuthorization";
        check_bearer(None, with_token, Ok((true, Some("Bearer a.b.c"))));
        check_bearer(None, "base64UrlBearerAuthorization.YS5iLmM=", Ok((false, Some("Bearer a.b.c"))));
        check_bearer(None, "chat, superchat", Ok((false, None)));
        check_bearer(None, "base64UrlBearerAuthorizationX, base64UrlBearerAuthorization", Ok((true, None)));
        check_bearer(None, "base64UrlBearerAuthorization.!", Err(()));
        check_bearer(None, "base64UrlBearerAuthorization.Cg", Err(()));
        check_bearer(Some("Bearer d.e.f"), with_token, Err(()));
        check_bearer(None, &format!("{with_token}, base64UrlBearerAuthorization.YS5iLmM"), Err(()));
    }

    #[track_caller]
    fn check_query(query: &str, expect: Result<&[&str], ()>) {
        let mut headers = HeaderMap::new();
        headers.insert(headers::SESSION_ID, HeaderValue::from_static("of-the-header"));
        let found = take_query(query, &mut headers).map_err(drop);
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(found.map(|()| lines[1..].to_vec()), expect.map(<[_]>::to_vec), "{query}");
    }

    #[test]
    fn session_and_custom_headers_may_come_in_the_query() {
        const CUSTOM: &str = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-User";
        check_query("qualifier=a", Ok(&[]));
        check_query(
            &format!("{CUSTOM}=a+b%2Bc&x-other=c"),
            Ok(&["x-amzn-bedrock-agentcore-runtime-custom-user: a b+c"]),
        );
        check_query(&format!("{CUSTOM}=a&{CUSTOM}=b"), Err(()));
        check_query(&format!("{CUSTOM}=%0d%0aEvil%3A1"), Err(()));
        check_query(&format!("{CUSTOM} =1"), Err(()));
        check_query("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=of-the-header", Ok(&[]));
        check_query("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=of-the-query", Err(()));
    }
}
