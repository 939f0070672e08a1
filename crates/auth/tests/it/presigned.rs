//! Signatures in the query: those that SDKs make verify, what was changed afterwards does not, and what breaks a rule is refused.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use innkeep_auth::sigv4::{Error, Presigned, SigningKeys};
use innkeep_types::UnixMillis;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::request::{KEY_ID, NOW, REGION, Request, SECRET, any_request};

const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLE==";

/// What `AgentCoreRuntimeClient.generate_presigned_url` of bedrock-agentcore 1.25.0 made at [`NOW`] for `127.0.0.1:7080`.
const SDK: &str = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fhello-AbCdEf0123/ws?\
    qualifier=DEFAULT&X-Amzn-Bedrock-AgentCore-Runtime-Custom-Lang=de%20AT&\
    X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=3f0e3cb2-7c1b-4e0a-9a31-52a2f5f1b0c1&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
    X-Amz-Credential=AKIDEXAMPLE%2F20261120%2Fus-west-2%2Fbedrock-agentcore%2Faws4_request&X-Amz-Date=20261120T100000Z&\
    X-Amz-Expires=300&X-Amz-SignedHeaders=host";
const SDK_SIGNATURE: &str = "&X-Amz-Signature=6c5cfab78838312b7691c40ad2c812fdc30876a6ddb34e40b1b05c46720af0c7";
const SDK_TOKEN: &str = "&X-Amz-Security-Token=AQoDYXdzEPT%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FwEXAMPLE%3D%3D";
const SDK_TOKEN_SIGNATURE: &str = "&X-Amz-Signature=4c4a38890f3c105f1bba639098834b2f996ef424244b3492148e2e41b1f85912";

fn host(host: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_str(host).unwrap())])
}

fn check_at(method: &Method, target: &str, headers: &HeaderMap, now: UnixMillis) -> Result<Presigned, Error> {
    let presigned = Presigned::parse(method, target, headers, now)?;
    if presigned.access_key_id() != KEY_ID {
        return Err(Error::UnknownKey);
    }
    presigned.verify(&SigningKeys::default(), SECRET)?;
    Ok(presigned)
}

fn check(target: &str, headers: &HeaderMap) -> Result<(), Error> {
    check_at(&Method::GET, target, headers, NOW).map(drop)
}

fn secs_later(secs: i64) -> UnixMillis {
    UnixMillis(NOW.0 + secs * 1000)
}

#[test]
fn what_the_agentcore_sdk_makes_verifies_with_and_without_the_port() {
    let target = format!("{SDK}{SDK_SIGNATURE}");
    for spelling in ["127.0.0.1:7080", "127.0.0.1"] {
        assert_eq!(check(&target, &host(spelling)), Ok(()), "{spelling}");
    }
    for other in ["127.0.0.2:7080", "127.0.0.1.:7080", "localhost:7080", "7080", "x@127.0.0.1:7080"] {
        assert_eq!(check(&target, &host(other)), Err(Error::Mismatch), "{other}");
    }
    let with_token = format!("{SDK}{SDK_TOKEN}{SDK_TOKEN_SIGNATURE}");
    let presigned = check_at(&Method::GET, &with_token, &host("127.0.0.1:7080"), NOW).unwrap();
    assert_eq!((presigned.access_key_id(), presigned.session_token()), (KEY_ID, Some(TOKEN)));
    assert!(!format!("{presigned:?}").contains("AQoD"));
}

#[test]
fn it_may_be_repeated_until_its_time_is_over_and_not_afterwards() {
    let target = format!("{SDK}{SDK_SIGNATURE}");
    let keys = SigningKeys::default();
    let at = |secs| {
        let presigned = Presigned::parse(&Method::GET, &target, &host("127.0.0.1"), secs_later(secs))?;
        presigned.verify(&keys, SECRET)
    };
    for secs in [-300, -1, 0, 0, 1, 299, 300] {
        assert_eq!(at(secs), Ok(()), "{secs} s later");
    }
    assert!(matches!(at(301), Err(Error::Over { .. })));
    assert!(matches!(at(-301), Err(Error::NotYetCurrent { .. })));
    assert_eq!(
        at(301).unwrap_err().to_string(),
        "Signature expired: 20261120T100500Z is now earlier than 20261120T100501Z"
    );
}

#[test]
fn what_breaks_a_rule_is_refused_before_any_key_is_asked() {
    let good = format!("{SDK}{SDK_SIGNATURE}");
    let replace = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    let expires = Error::Expires { limit: 300 };
    let cases = [
        (replace("X-Amz-Expires=300", "X-Amz-Expires=301"), expires.clone()),
        (replace("X-Amz-Expires=300", "X-Amz-Expires=0"), expires.clone()),
        (replace("X-Amz-Expires=300", "X-Amz-Expires=-300"), expires.clone()),
        (replace("X-Amz-Expires=300", "X-Amz-Expires=%2B300"), expires.clone()),
        (replace("X-Amz-Expires=300", "X-Amz-Expires=99999999999999999999999"), expires),
        (replace("X-Amz-Expires=300", "X-Amz-Expires="), Error::QueryParameter("X-Amz-Expires")),
        (replace("&X-Amz-Expires=300", ""), Error::QueryParameter("X-Amz-Expires")),
        (replace(SDK_SIGNATURE, ""), Error::QueryParameter("X-Amz-Signature")),
        (replace("&X-Amz-Date=20261120T100000Z", ""), Error::QueryParameter("X-Amz-Date")),
        (replace("X-Amz-Date=20261120T100000Z", "X-Amz-Date=20261120"), Error::Date),
        (replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), Error::Algorithm),
        (replace("%2Fbedrock-agentcore%2F", "%2Fs3%2F"), Error::Service { expected: "bedrock-agentcore" }),
        (replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=accept"), Error::NotSigned { header: "Host" }),
        (
            replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx-more"),
            Error::Absent { header: "x-more".to_owned() },
        ),
        (
            replace("X-Amz-Credential=AKIDEXAMPLE%2F20261120", "X-Amz-Credential=AKIDEXAMPLE%2F20261119"),
            Error::ScopeDate { scope: "20261119".to_owned(), date: "20261120".to_owned() },
        ),
        (good.to_uppercase(), Error::RepeatedParameter("X-Amz-Algorithm")),
        (format!("{good}&X-Amz-Expires=300"), Error::RepeatedParameter("X-Amz-Expires")),
        (format!("{good}&x-amz-expires=60"), Error::RepeatedParameter("X-Amz-Expires")),
        (format!("{good}&X%2DAmz%2DExpires=60"), Error::RepeatedParameter("X-Amz-Expires")),
        (format!("{good}{SDK_SIGNATURE}"), Error::RepeatedParameter("X-Amz-Signature")),
        (format!("{good}{}", SDK_SIGNATURE.to_lowercase()), Error::RepeatedParameter("X-Amz-Signature")),
        (good[..good.len() - 1].to_owned(), Error::Signature),
        (format!("{good}&a={}", "x".repeat(20_000)), Error::TooLong { part: "request target", limit: 16 * 1024 }),
    ];
    for (target, error) in cases {
        let parsed = Presigned::parse(&Method::GET, &target, &host("127.0.0.1"), NOW).map(drop);
        assert_eq!(parsed, Err(error), "{target}");
        assert!(Presigned::is_claimed(&target));
    }
    assert!(!Presigned::is_claimed("/runtimes/x/ws?qualifier=DEFAULT&X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=1"));
}

#[test]
fn a_token_must_be_covered_and_a_request_is_signed_in_one_place() {
    let good = format!("{SDK}{SDK_SIGNATURE}");
    assert_eq!(check(&format!("{SDK}{SDK_TOKEN}{SDK_SIGNATURE}"), &host("127.0.0.1")), Err(Error::Mismatch), "added");
    assert_eq!(check(&format!("{SDK}{SDK_TOKEN_SIGNATURE}"), &host("127.0.0.1")), Err(Error::Mismatch), "removed");
    for name in ["authorization", "x-amz-security-token"] {
        let mut headers = host("127.0.0.1");
        headers.insert(name, HeaderValue::from_static("Bearer x"));
        assert!(matches!(check(&good, &headers), Err(Error::TwoSignatures(_))), "{name}");
    }
    let mut two_hosts = host("127.0.0.1");
    two_hosts.append("host", HeaderValue::from_static("127.0.0.1"));
    assert_eq!(check(&good, &two_hosts), Err(Error::Repeated { header: "Host" }));
    assert_eq!(check(&good, &HeaderMap::new()), Err(Error::Absent { header: "host".to_owned() }));
    for method in [Method::POST, Method::HEAD] {
        assert_eq!(check_at(&method, &good, &host("127.0.0.1"), NOW).map(drop), Err(Error::Mismatch), "{method}");
    }
}

/// Presigns with the reference; `None` if it cannot.
fn presign(request: &Request, lifetime: u64, token: Option<&str>) -> Option<Request> {
    let identity = Credentials::new(KEY_ID, SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(lifetime));
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(NOW.0).unwrap());
    let params = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("bedrock-agentcore")
        .time(now)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let host = request.headers["host"].to_str().ok()?;
    let uri = format!("http://{host}{}", request.target);
    let signable =
        SignableRequest::new(request.method.as_str(), uri, [("host", host)].into_iter(), SignableBody::Bytes(b""))
            .ok()?;
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut signed = request.clone();
    for (name, value) in instructions.params() {
        signed.target.push(if signed.target.contains('?') { '&' } else { '?' });
        signed.target.push_str(&format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }
    Some(signed)
}

/// What a signature covers of a query: names and values, decoded, in order.
fn meaning(target: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (_, query) = target.split_once('?').unwrap_or_default();
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>();
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let mut pairs: Vec<_> =
        pieces.map(|piece| piece.split_once('=').unwrap_or((piece, ""))).map(|(n, v)| (decode(n), decode(v))).collect();
    pairs.sort();
    pairs
}

fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

proptest! {
    #[test]
    fn what_the_sdk_presigns_verifies(
        request in any_request(),
        lifetime in 1_u64..=300,
        has_token in any::<bool>(),
        late in any::<Index>(),
    ) {
        let signed = presign(&request, lifetime, has_token.then_some(TOKEN)).unwrap();
        let now = secs_later(i64::try_from(late.index(usize::try_from(lifetime).unwrap() + 1)).unwrap());
        let presigned = check_at(&signed.method, &signed.target, &host(signed.headers["host"].to_str().unwrap()), now);
        prop_assert_eq!(presigned.map(|p| p.session_token().map(str::to_owned)), Ok(has_token.then(|| TOKEN.to_owned())));
        let over = secs_later(i64::try_from(lifetime).unwrap() + 1);
        let refused = check_at(&signed.method, &signed.target, &request.headers, over);
        let is_over = matches!(refused, Err(Error::Over { .. }));
        prop_assert!(is_over);
    }

    #[test]
    fn any_byte_of_the_target_that_is_changed_is_noticed(request in any_request(), at in any::<Index>(), to in b'!'..=b'~') {
        let signed = presign(&request, 300, Some(TOKEN)).unwrap();
        let mut bytes = signed.target.clone().into_bytes();
        *at.get_mut(&mut bytes) = to;
        let Ok(sent) = PathAndQuery::try_from(&bytes[..]) else { return Ok(()) };
        let changed = sent.as_str();
        if changed.as_bytes() != bytes || changed == signed.target || !changed.starts_with('/') {
            return Ok(());
        }
        if check_at(&signed.method, changed, &signed.headers, NOW).is_ok() {
            // Another spelling of the same query, such as `%2b` for `%2B`; or a segment that says nothing.
            prop_assert_eq!(meaning(changed), meaning(&signed.target));
            let again = presign(&Request { target: path(changed).to_owned(), ..request.clone() }, 300, Some(TOKEN));
            let before = presign(&Request { target: path(&signed.target).to_owned(), ..request }, 300, Some(TOKEN));
            let signature = |request: Option<Request>| request.unwrap().target.rsplit_once('=').unwrap().1.to_owned();
            prop_assert_eq!(signature(again), signature(before), "the path is another");
        }
    }

    #[test]
    fn any_byte_of_the_host_that_is_changed_is_noticed(request in any_request(), at in any::<Index>(), to in b'!'..=b'~') {
        let signed = presign(&request, 300, None).unwrap();
        let mut bytes = signed.headers["host"].as_bytes().to_vec();
        if std::mem::replace(at.get_mut(&mut bytes), to) == to {
            return Ok(());
        }
        let headers = host(std::str::from_utf8(&bytes).unwrap());
        prop_assert_eq!(check_at(&signed.method, &signed.target, &headers, NOW).map(drop), Err(Error::Mismatch));
    }

    #[test]
    fn parameters_added_or_removed_are_noticed(request in any_request(), extra in "[a-z]{1,5}=[a-z]{0,5}", at in any::<Index>()) {
        let signed = presign(&request, 300, None).unwrap();
        let added = format!("{}&{extra}", signed.target);
        prop_assert_eq!(check_at(&signed.method, &added, &signed.headers, NOW).map(drop), Err(Error::Mismatch));
        let (path, query) = signed.target.split_once('?').unwrap();
        let mut pieces: Vec<_> = query.split('&').collect();
        let removed = pieces.remove(at.index(pieces.len()));
        let fewer = format!("{path}?{}", pieces.join("&"));
        prop_assert_eq!(check_at(&signed.method, &fewer, &signed.headers, NOW).is_err(), !removed.is_empty());
    }

    #[test]
    fn any_query_ends_in_a_result(bytes in vec(any::<u8>(), 0..400), edits in vec((any::<Index>(), b'!'..=b'~'), 0..6)) {
        let _ = Presigned::parse(&Method::GET, &format!("/x?{}", String::from_utf8_lossy(&bytes)), &host("x"), NOW);
        let mut bytes = format!("{SDK}{SDK_SIGNATURE}").into_bytes();
        edits.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        let _ = Presigned::parse(&Method::GET, &String::from_utf8_lossy(&bytes), &host("127.0.0.1"), NOW);
    }
}
