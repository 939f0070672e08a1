//! What is refused, and in which words. And what looks odd and is not refused.

use http::{HeaderMap, HeaderValue, Method};
use innkeep_auth::digest;
use innkeep_auth::sigv4::{Credentials, Error, Signed, sign};
use innkeep_types::{ErrorKind, UnixMillis, limits};

use crate::request::{KEY_ID, NOW, REGION, Request, SECRET};

/// Signs a boto3-like request, edits it, and expects this text.
fn check(expect: &str, edit: impl FnOnce(&mut Request)) {
    let mut request = Request::invoke().signed(None);
    edit(&mut request);
    let error = request.verify().unwrap_err();
    assert_eq!(error.to_string(), expect);
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(!expect.ends_with('.'), "{expect}");
}

/// The same, with a text replaced in the `Authorization` header.
fn check_replaced(from: &str, to: &str, expect: &str) {
    check(expect, |request| {
        let value = request.authorization().replacen(from, to, 1);
        assert_ne!(value, request.authorization(), "{from}");
        request.set("authorization", &value);
    });
}

#[test]
fn without_a_signature() {
    check("Missing Authentication Token", |request| {
        request.headers.remove("authorization");
    });
    let algorithm = "Unsupported authorization: expected a header signature of the algorithm 'AWS4-HMAC-SHA256'";
    for value in ["", "Bearer abc", "AWS4-ECDSA-P256-SHA256 Credential=a", "aws4-hmac-sha256 Credential=a"] {
        check(algorithm, |request| request.set("authorization", value));
    }
}

#[test]
fn a_header_twice() {
    for (name, shown) in [
        ("authorization", "Authorization"),
        ("x-amz-date", "X-Amz-Date"),
        ("x-amz-content-sha256", "X-Amz-Content-Sha256"),
        ("x-amz-security-token", "X-Amz-Security-Token"),
    ] {
        check(&format!("The request has more than one '{shown}' header"), |request| {
            let value = request.headers.get(name).cloned().unwrap_or(HeaderValue::from_static("x"));
            request.headers.insert(name, value.clone());
            request.headers.append(name, value);
        });
    }
}

#[test]
fn a_malformed_authorization() {
    let pair = "Invalid key=value pair in Authorization header";
    check_replaced(", SignedHeaders=", ", SignedHeaders", pair);
    check_replaced(", SignedHeaders=", ",, SignedHeaders=", pair);
    check_replaced(", SignedHeaders=", ", Extra=1, SignedHeaders=", pair);
    check_replaced(", SignedHeaders=", ", Credential=1, SignedHeaders=", pair);
    check(pair, |request| request.set("authorization", "AWS4-HMAC-SHA256"));
    check(pair, |request| {
        let value = HeaderValue::from_bytes(b"AWS4-HMAC-SHA256 Credential=\xff").unwrap();
        request.headers.insert("authorization", value);
    });
    for name in ["Credential", "SignedHeaders", "Signature"] {
        check(&format!("Authorization header requires '{name}' parameter"), |request| {
            let (algorithm, parameters) = request.authorization().split_once(' ').unwrap();
            let others: Vec<_> = parameters.split(", ").filter(|p| !p.starts_with(&format!("{name}="))).collect();
            let value = format!("{algorithm} {}", others.join(", "));
            request.set("authorization", &value);
        });
    }
    let signature = "Signature must be 64 lower-case hexadecimal digits";
    check_replaced("Signature=", "Signature=0", signature);
    check(signature, |request| {
        let (head, signature) = request.authorization().split_once("Signature=").unwrap();
        let value = format!("{head}Signature={}", signature.to_ascii_uppercase());
        request.set("authorization", &value);
    });
    check("The Authorization header is longer than 4096 bytes", |request| {
        let value = format!("{}{}", request.authorization(), "0".repeat(4096));
        request.set("authorization", &value);
    });
}

#[test]
fn a_malformed_or_foreign_credential() {
    let credential = "Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/term";
    check_replaced("/us-west-2", "", credential);
    check_replaced("/us-west-2", "/us-west-2/us-west-2", credential);
    check_replaced("/us-west-2", "/", credential);
    check_replaced(KEY_ID, "", credential);
    check_replaced(KEY_ID, "a b", credential);
    check_replaced(KEY_ID, &"A".repeat(129), credential);
    check_replaced(
        "/bedrock-agentcore/",
        "/s3/",
        "Credential should be scoped to correct service: 'bedrock-agentcore'",
    );
    check_replaced("aws4_request", "aws5", "Credential should be scoped with a valid terminator: 'aws4_request'");
    check_replaced(
        "/20261120/",
        "/20261119/",
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261119' != '20261120'",
    );
    check_replaced(KEY_ID, "AKIDOTHER", "The security token included in the request is invalid");
}

#[test]
fn malformed_or_missing_signed_headers() {
    let order = "SignedHeaders must be lower-case header names in ascending order, separated by ';'";
    check_replaced(";host;", ";Host;", order);
    check_replaced(";host;", ";host;host;", order);
    check_replaced(";host;", ";host;;", order);
    check_replaced("SignedHeaders=", "SignedHeaders=x;", order);
    check_replaced(";host;", ";", "'Host' must be a 'SignedHeader' in the AWS Authorization");
    check_replaced(";x-amz-date", "", "'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization");
    check("'amz-sdk-request' is a 'SignedHeader' in the AWS Authorization but not in the request", |request| {
        request.headers.remove("amz-sdk-request");
    });
}

#[test]
fn a_wrong_date() {
    check("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header", |request| {
        request.headers.remove("x-amz-date");
    });
    check("Date must be in ISO-8601 'basic format', such as 20150830T123600Z", |request| {
        request.set("x-amz-date", "2026-11-20T10:00:00Z");
    });
}

#[test]
fn a_signature_is_good_for_five_minutes_either_way() {
    let request = Request::invoke().signed(None);
    let parse = |secs: i64| {
        let now = UnixMillis(NOW.0 + secs * 1000);
        Signed::parse(&request.method, &request.target, &request.headers, now).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(limits::CLOCK_SKEW.as_secs(), 300, "the texts say 5 min");
    assert_eq!(parse(300), Ok(()));
    assert_eq!(parse(-300), Ok(()));
    let expired =
        "Signature expired: 20261120T100000Z is now earlier than 20261120T100001Z (20261120T100501Z - 5 min.)";
    assert_eq!(parse(301), Err(expired.to_owned()));
    let early =
        "Signature not yet current: 20261120T100000Z is still later than 20261120T095959Z (20261120T095459Z + 5 min.)";
    assert_eq!(parse(-301), Err(early.to_owned()));
}

#[test]
fn a_body_that_is_not_the_signed_one() {
    let payload =
        "x-amz-content-sha256 must be the lower-case SHA-256 of the body: unsigned and streaming payloads are refused";
    for value in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ""] {
        check(payload, |request| request.set("x-amz-content-sha256", value));
    }
    check("The provided 'x-amz-content-sha256' header does not match what was computed", |request| {
        request.set("x-amz-content-sha256", &"0".repeat(64));
    });
    check(MISMATCH, |request| request.body.push(b' '));
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. \
                        Check your AWS Secret Access Key and signing method";

#[test]
fn what_a_router_might_read_otherwise() {
    check(MISMATCH, |request| request.target = request.target.replace("%3A", ":"));
    check(MISMATCH, |request| request.target = request.target.replace("%3A", "%3a"));
    check(MISMATCH, |request| request.target = request.target.replace("%3A", "%253A"));
    check(MISMATCH, |request| request.target.push_str("&qualifier=other"));
    check(MISMATCH, |request| request.append("host", "other"));
    check("The request target is longer than 16384 bytes", |request| request.target.push_str(&"/".repeat(16384)));
}

#[test]
fn a_websocket_client_leaves_session_and_token_unsigned() {
    let request = Request { method: Method::GET, body: Vec::new(), ..Request::invoke() };
    let host = request.headers.iter().filter(|(name, _)| *name == "host");
    let few = host.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut signed = Request { headers: few, ..request.clone() }.signed(None);
    assert!(signed.authorization().contains("SignedHeaders=host;x-amz-date,"));
    signed.set("x-amz-security-token", "token");
    let session = "x-amzn-bedrock-agentcore-runtime-session-id";
    signed.headers.insert(session, request.headers[session].clone());
    assert_eq!(signed.verify(), Ok(()));
    let signed = Signed::parse(&signed.method, &signed.target, &signed.headers, NOW).unwrap();
    assert_eq!((signed.session_token(), signed.claimed_digest()), (Some("token"), None));
}

#[test]
fn blanks_around_parameters_do_not_matter() {
    let request = Request::invoke().signed(None);
    for separator in [",", " , ", ",\t"] {
        let mut other = request.clone();
        other.set("authorization", &request.authorization().replace(", ", separator));
        assert_eq!(other.verify(), Ok(()), "{separator:?}");
    }
    let mut other = request.clone();
    let (algorithm, parameters) = request.authorization().split_once(' ').unwrap();
    let reversed: Vec<_> = parameters.rsplit(", ").collect();
    other.set("authorization", &format!("{algorithm} {}", reversed.join(", ")));
    assert_eq!(other.verify(), Ok(()));
}

#[test]
fn nothing_secret_is_shown() {
    let request = Request::invoke().signed(Some("session-token"));
    let signed = Signed::parse(&request.method, &request.target, &request.headers, NOW).unwrap();
    let credentials = Credentials {
        access_key_id: KEY_ID.to_owned(),
        secret: SECRET.to_owned(),
        session_token: Some("session-token".to_owned()),
    };
    let shown = format!("{signed:?} {credentials:?} {:?}", request.headers);
    let signature = request.authorization().rsplit('=').next().unwrap();
    for secret in [SECRET, "session-token", signature] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_cannot_be_signed() {
    let sign_with = |key_id: &str, token: Option<&str>, now: i64, headers: &mut HeaderMap| {
        let credentials = Credentials {
            access_key_id: key_id.to_owned(),
            secret: SECRET.to_owned(),
            session_token: token.map(str::to_owned),
        };
        sign(&credentials, REGION, &Method::GET, "/", headers, &digest(b""), UnixMillis(now))
    };
    let mut headers = HeaderMap::new();
    let absent = Error::Absent { header: "host".to_owned() };
    assert_eq!(sign_with(KEY_ID, None, NOW.0, &mut headers), Err(absent));
    headers.insert("host", HeaderValue::from_static("localhost"));
    assert_eq!(sign_with("a\nb", None, NOW.0, &mut headers), Err(Error::Unsignable("access key id or region")));
    assert_eq!(sign_with(KEY_ID, Some("a\nb"), NOW.0, &mut headers), Err(Error::Unsignable("session token")));
    assert_eq!(sign_with(KEY_ID, None, i64::MAX, &mut headers), Err(Error::Unsignable("date")));
}
