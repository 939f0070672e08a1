//! Against the signer of the AWS SDK for Rust: what it signs verifies, and what was changed afterwards does not.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use innkeep_auth::sigv4::{Error, SigningKeys};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::request::{KEY_ID, NOW, REGION, Request, SECRET, any_request};

const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLE==";

/// How clients differ.
#[derive(Debug, Clone, Copy)]
struct Client {
    has_token: bool,
    signs_token: bool,
    normalizes: bool,
}

fn any_client() -> impl Strategy<Value = Client> {
    any::<[bool; 3]>().prop_map(|[has_token, signs_token, normalizes]| Client { has_token, signs_token, normalizes })
}

/// Signs with the reference.
fn sign_with(client: Client, request: &Request) -> Option<Request> {
    let token = client.has_token.then(|| TOKEN.to_owned());
    let identity = Credentials::new(KEY_ID, SECRET, token, None, "test").into();
    let mut settings = SigningSettings::default();
    if !client.signs_token {
        settings.session_token_mode = SessionTokenMode::Exclude;
    }
    if !client.normalizes {
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
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
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let uri = format!("http://{}{}", request.headers["host"].to_str().ok()?, request.target);
    let body = SignableBody::Bytes(&request.body);
    let signable = SignableRequest::new(request.method.as_str(), uri, headers, body).ok()?;
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut signed = request.clone();
    for (name, value) in instructions.headers() {
        signed
            .headers
            .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Some(signed)
}

/// Where a byte is changed.
#[derive(Debug, Clone, Copy)]
enum Part {
    Method,
    Target,
    Header,
    Authorization,
    Body,
}

/// Returns `request` with one byte of `part` changed, or `None` if the change is none or cannot be sent.
fn change(request: &Request, part: Part, at: &Index, to: u8) -> Option<Request> {
    let mut changed = request.clone();
    let replace = |bytes: &mut [u8]| {
        let byte = if bytes.is_empty() { return None } else { at.get_mut(bytes) };
        (std::mem::replace(byte, to) != to).then_some(())
    };
    match part {
        Part::Method => {
            changed.method = if request.method == Method::GET { Method::POST } else { Method::GET };
        }
        Part::Target => {
            let mut bytes = request.target.clone().into_bytes();
            replace(&mut bytes)?;
            let sent = PathAndQuery::try_from(&bytes[..]).ok().filter(|sent| sent.as_str().as_bytes() == bytes)?;
            changed.target = sent.as_str().starts_with('/').then(|| sent.to_string())?;
        }
        Part::Header => {
            let is_signed = |name: &str| {
                let (_, rest) = request.authorization().split_once("SignedHeaders=").unwrap();
                rest.split(',').next().unwrap().split(';').any(|signed| signed == name)
            };
            let mut values: Vec<&mut HeaderValue> = changed
                .headers
                .iter_mut()
                .filter(|(name, _)| is_signed(name.as_str()))
                .map(|(_, value)| value)
                .collect();
            let value = at.get_mut(&mut values);
            let mut bytes = value.as_bytes().to_vec();
            replace(&mut bytes)?;
            **value = HeaderValue::from_bytes(&bytes).ok()?;
        }
        Part::Authorization => {
            let mut bytes = request.authorization().as_bytes().to_vec();
            replace(&mut bytes)?;
            changed.headers.insert("authorization", HeaderValue::from_bytes(&bytes).ok()?);
        }
        Part::Body => replace(&mut changed.body)?,
    }
    Some(changed)
}

proptest! {
    #[test]
    fn what_the_sdk_signs_verifies((request, client) in (any_request(), any_client())) {
        let signed = sign_with(client, &request).unwrap();
        let keys = SigningKeys::default();
        prop_assert_eq!(signed.verify_with(&keys), Ok(()));
        prop_assert_eq!(signed.verify_with(&keys), Ok(()), "with a remembered key");
    }

    #[test]
    fn what_was_changed_is_refused(
        (request, client) in (any_request(), any_client()),
        part in prop_oneof![
            Just(Part::Method), Just(Part::Target), Just(Part::Header), Just(Part::Authorization), Just(Part::Body)
        ],
        at in any::<Index>(),
        to in b' '..=b'~',
    ) {
        let signed = sign_with(client, &request).unwrap();
        let Some(changed) = change(&signed, part, &at, to) else { return Ok(()) };
        if changed.verify().is_ok() {
            // The same request in another spelling, such as `%2b` for `%2B` in the query: the reference signs it alike.
            let again = sign_with(client, &Request { headers: request.headers, ..changed.clone() });
            let again = again.expect("what the reference cannot sign must not verify");
            prop_assert_eq!(again.authorization(), signed.authorization());
            prop_assert_eq!(changed.headers, signed.headers);
        }
    }

    #[test]
    fn what_we_sign_is_what_the_sdk_signs(request in any_request(), has_token in any::<bool>()) {
        let ours = request.clone().signed(has_token.then_some(TOKEN));
        let client = Client { has_token, signs_token: true, normalizes: true };
        let theirs = sign_with(client, &request).unwrap();
        prop_assert_eq!(ours.authorization(), theirs.authorization());
        prop_assert_eq!(ours.verify(), Ok(()));
        prop_assert_eq!(ours.clone().signed(has_token.then_some(TOKEN)).headers, ours.headers, "signing again");
    }
}

#[test]
fn another_secret_does_not_verify() {
    let signed = Request::invoke().signed(None);
    let parsed = innkeep_auth::sigv4::Signed::parse(&signed.method, &signed.target, &signed.headers, NOW).unwrap();
    let (keys, body) = (SigningKeys::default(), innkeep_auth::digest(&signed.body));
    assert_eq!(parsed.verify(&keys, "another", &body), Err(Error::Mismatch));
    assert_eq!(parsed.verify(&keys, SECRET, &body), Ok(()));
    assert_eq!(parsed.verify(&keys, "another", &body), Err(Error::Mismatch), "the key is not served to another secret");
}
