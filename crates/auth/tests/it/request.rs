//! A request to sign and to verify, and arbitrary ones.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use innkeep_auth::digest;
use innkeep_auth::sigv4::{Credentials, Error, Signed, SigningKeys, sign};
use innkeep_types::UnixMillis;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const NOW: UnixMillis = UnixMillis(1_795_168_800_000);
pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "us-west-2";

/// As a server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// What boto3 sends to invoke an agent, unsigned.
    pub(crate) fn invoke() -> Self {
        let headers = [
            ("host", "127.0.0.1:8080"),
            ("content-type", "application/json"),
            ("user-agent", "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 lang/python#3.11.7"),
            ("x-amzn-bedrock-agentcore-runtime-session-id", "3f0e3cb2-7c1b-4e0a-9a31-52a2f5f1b0c1"),
            ("amz-sdk-invocation-id", "a2a2b4f0-3d7d-4d2e-8b52-0d8f1b9a7c11"),
            ("amz-sdk-request", "attempt=1"),
        ];
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fhello-AbCdEf0123";
        Self {
            method: Method::POST,
            target: format!("/runtimes/{arn}/invocations?qualifier=DEFAULT"),
            headers: headers.into_iter().collect(),
            body: br#"{"prompt": "What is 2+2?"}"#.to_vec(),
        }
    }

    pub(crate) fn signed(mut self, token: Option<&str>) -> Self {
        let credentials = Credentials {
            access_key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            session_token: token.map(str::to_owned),
        };
        let body = digest(&self.body);
        sign(&credentials, REGION, &self.method, &self.target, &mut self.headers, &body, NOW).unwrap();
        self
    }

    /// What a server does that knows one key.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        self.verify_with(&SigningKeys::default())
    }

    pub(crate) fn verify_with(&self, keys: &SigningKeys) -> Result<(), Error> {
        let signed = Signed::parse(&self.method, &self.target, &self.headers, NOW)?;
        if signed.access_key_id() != KEY_ID {
            return Err(Error::UnknownKey);
        }
        signed.verify(keys, SECRET, &digest(&self.body))
    }

    pub(crate) fn authorization(&self) -> &str {
        self.headers["authorization"].to_str().unwrap()
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    pub(crate) fn append(&mut self, name: &'static str, value: &str) {
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
}

/// Any request that an HTTP client can send: ARNs encoded and raw, dots, repeated parameters and headers, blanks.
pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    let method = select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE]);
    let host = select(vec!["localhost:8080", "127.0.0.1", "bedrock-agentcore.us-west-2.amazonaws.com", "[::1]:80"]);
    let header =
        (select(vec!["x-amz-meta", "x-amzn-trace", "accept", "content-type", "baggage"]), "[!-~]?([ -~]{0,20}[!-~])?");
    let body = vec(any::<u8>(), 0..100);
    (method, any_path(), any_query(), host, vec(header, 0..6), body, any::<bool>()).prop_map(
        |(method, path, query, host, headers, body, has_digest)| {
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            let mut request = Request { method, target, headers: HeaderMap::new(), body };
            request.set("host", host);
            headers.iter().for_each(|(name, value)| request.append(name, value));
            if has_digest {
                let digest = digest(&request.body).map(|byte| format!("{byte:02x}")).concat();
                request.set("x-amz-content-sha256", &digest);
            }
            request
        },
    )
}

fn any_path() -> impl Strategy<Value = String> {
    let known = one_of(&[
        "runtimes",
        "invocations",
        "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fhello-AbCdEf0123",
        "arn%3aaws%3abedrock-agentcore%3aus-west-2%3a123456789012%3aruntime%2fhello-AbCdEf0123",
        "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime",
    ]);
    let segment = prop_oneof![
        4 => known,
        2 => "[A-Za-z0-9._~!$&'()*,;=:@-]{0,12}",
        2 => any_encoded(),
        1 => one_of(&["", ".", ".."]),
    ];
    vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn any_query() -> impl Strategy<Value = String> {
    let component = || prop_oneof!["[A-Za-z0-9._~!$'()*,;:@/?+-]{0,8}", any_encoded()];
    let parameter = prop_oneof![
        3 => (component(), component()).prop_map(|(name, value)| format!("{name}={value}")),
        1 => component(),
        1 => one_of(&["qualifier=DEFAULT", "a=1", "a=2", "a-b=1", "a=", "a"]),
    ];
    vec(parameter, 0..5).prop_map(|parameters| parameters.join("&"))
}

fn any_encoded() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..6)
        .prop_map(|text| utf8_percent_encode(&String::from_iter(text), NON_ALPHANUMERIC).to_string())
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(texts).prop_map(str::to_owned)
}
