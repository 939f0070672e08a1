//! AWS's published vectors, read from the package of the `aws-sigv4` crate, which carries them; and what no signer at hand makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use innkeep_types::UnixMillis;
use jiff::Timestamp;

use super::canonical::canonical;
use super::{ALGORITHM, Error, Signed, SigningKeys, keys, string_to_sign};

/// As many as the package of version 1.6.4 has. A newer one may have more.
const N_VECTORS: usize = 40;

/// A request as it was sent, and what its signer wrote down.
struct Vector {
    name: String,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    service: &'static str,
    secret: String,
    /// `None` if the file in the package is of another request.
    canonical: Option<String>,
    is_normalized: bool,
}

#[test]
fn the_published_vectors_verify() {
    let folders = fs::read_dir(suite().join("v4")).unwrap();
    let n_verified = folders.map(|folder| check(&Vector::read(&folder.unwrap().path()))).count();
    assert!(n_verified >= N_VECTORS, "only {n_verified} vectors");
}

fn check(vector: &Vector) {
    let name = &vector.name;
    let date = vector.headers["x-amz-date"].to_str().unwrap();
    let date: Timestamp = date.parse().unwrap();
    let now = UnixMillis(date.as_millisecond());
    let signed = Signed::parse_for(vector.service, &vector.method, &vector.target, &vector.headers, now).expect(name);
    let body = crate::digest(&vector.body);
    let verified = signed.verify(&SigningKeys::default(), &vector.secret, &body);
    assert_eq!(verified, Ok(()), "{name}");
    assert_eq!(
        signed.session_token(),
        vector.headers.get("x-amz-security-token").map(|token| token.to_str().unwrap()),
        "{name}"
    );
    if let Some(canonical) = &vector.canonical {
        let (normalized, verbatim) = signed.canonical();
        let ours = if vector.is_normalized { normalized } else { verbatim.unwrap_or(normalized) };
        let digest = String::from_utf8_lossy(&crate::sha256::to_hex(&body)).into_owned();
        assert_eq!(String::from_utf8_lossy(ours) + &*digest, *canonical, "{name}");
    }
}

#[test]
fn a_date_header_will_do() {
    let (method, secret, scope) = (Method::GET, "secret", "20150830/us-east-1/bedrock-agentcore/aws4_request");
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("date", HeaderValue::from_static("Sun, 30 Aug 2015 12:36:00 GMT"));
    let body = crate::digest(b"");
    let canonical = canonical(&method, "/", "", "date;host", &headers).unwrap();
    let text = string_to_sign("20150830T123600Z", scope, &canonical, &body);
    let tag = ring::hmac::sign(&keys::derive(secret, scope), &text);
    let signature = crate::sha256::to_hex(tag.as_ref().try_into().unwrap());
    let signature = std::str::from_utf8(&signature).unwrap();
    let authorization = format!("{ALGORITHM} Credential=AKID/{scope}, SignedHeaders=date;host, Signature={signature}");
    headers.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
    let now = UnixMillis(1_440_938_160_000);
    let signed = Signed::parse(&method, "/", &headers, now).unwrap();
    assert_eq!(signed.verify(&SigningKeys::default(), secret, &body), Ok(()));

    headers.insert("authorization", HeaderValue::from_str(&authorization.replace("date;", "")).unwrap());
    assert_eq!(Signed::parse(&method, "/", &headers, now), Err(Error::NotSigned { header: "Date" }));
}

impl Vector {
    fn read(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let request = fs::read_to_string(folder.join("header-signed-request.txt")).unwrap();
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        // What an HTTP server does with a folded header.
        let head = head.replace("\n ", " ");
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        let context = fs::read_to_string(folder.join("context.json")).ok();
        let context: serde_json::Value = context.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
        let (service, secret) = match name.as_str() {
            // These two come from the crate and not from the suite: they have no context.
            "double-encode-path" => ("service", "notrealrnrELgWzOk3IfjzDKtFBhDby"),
            "double-url-encode" => ("lambda", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            _ => {
                assert_eq!(context["service"], "service", "{name}");
                ("service", context["credentials"]["secret_access_key"].as_str().unwrap())
            }
        };
        Self {
            method: method.parse().unwrap(),
            target: target.trim_end_matches(" HTTP/1.1").to_owned(),
            headers,
            body: body.as_bytes().to_vec(),
            service,
            secret: secret.to_owned(),
            // Its date is not that of the signed request.
            canonical: (name != "double-encode-path")
                .then(|| fs::read_to_string(folder.join("header-canonical-request.txt")).unwrap()),
            is_normalized: context["normalize"].as_bool().unwrap_or(true),
            name,
        }
    }
}

/// Returns the suite's directory, asking cargo where it unpacked the package.
fn suite() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        // Packages of other platforms need not have been downloaded.
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "aws-sigv4");
    let manifest = package.expect("aws-sigv4 is a dev-dependency")["manifest_path"].as_str().unwrap();
    Path::new(manifest).with_file_name("aws-signing-test-suite")
}
