//! Asking one issuer: its discovery document, and the key set that this names. Whoever writes a discovery URL decides what this
//! server asks for, so every address is looked at, the first one's and those that follow from it, and all is bounded.
//! Source: OpenID Connect Discovery 1.0; RFC 8414.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use innkeep_auth::jwt::{Certificate, KeySet};
use innkeep_fetch::{Answer, Deadlines, Http, Reach, Roots, authority_of};
use innkeep_types::limits;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Error, IssuersConfig, Published};

const DISCOVERY: &str = "its discovery document";
const KEYS: &str = "its key set";

/// What counts of a discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// What an issuer published, and for how long that is good.
pub(super) type Fetched = (Published, Duration);

/// What it takes to ask issuers.
pub(super) struct Asking {
    http: Http,
    config: IssuersConfig,
}

impl Asking {
    pub(super) fn new(config: IssuersConfig) -> Self {
        Self { http: client(&config, config.roots.clone()), config }
    }

    /// Returns what an issuer publishes whose own certificate a CA may vouch for whose certificate lies at `certificate`.
    pub(super) async fn ask(&self, discovery_url: &str, certificate: Option<&Certificate>) -> Result<Fetched, Error> {
        let asked = async {
            match certificate {
                None => fetch(&self.http, discovery_url).await,
                Some(certificate) => fetch(&self.believing(certificate).await?, discovery_url).await,
            }
        };
        timeout(limits::ISSUER_TIMEOUT, asked).await.unwrap_or(Err(Error::Late))
    }

    async fn believing(&self, certificate: &Certificate) -> Result<Http, Error> {
        let pem = (self.config.certificates)(certificate.clone()).await.map_err(Error::Certificate)?;
        let roots = Roots::from_pem(&pem).map_err(|error| Error::Certificate(error.into()))?;
        Ok(client(&self.config, self.config.roots.clone().and(roots)))
    }
}

fn client(config: &IssuersConfig, roots: Roots) -> Http {
    // Each step has all the time there is: the deadline of the whole is what counts.
    let step = limits::ISSUER_TIMEOUT;
    let deadlines = Deadlines { connect: step, head: step, stall: step, window: step };
    let reach = Reach::Public { besides: config.private.clone(), plain_http: config.plain_http };
    Http::new(reach, roots, deadlines)
}

async fn fetch(http: &Http, discovery_url: &str) -> Result<Fetched, Error> {
    let mut answer = get(http, discovery_url, DISCOVERY).await?;
    let document = collect(&mut answer, limits::MAX_DISCOVERY_BYTES, DISCOVERY).await?;
    let Discovery { issuer, jwks_uri } = parse(&document)?;
    let mut answer = get(http, &jwks_uri, KEYS).await?;
    let document = collect(&mut answer, limits::MAX_KEY_SET_BYTES, KEYS).await?;
    // Off the workers: a key set may be large, and each of its keys is looked at.
    let keys = spawn_blocking(move || KeySet::parse(&document)).await.map_err(|_| Error::Stopping)??;
    Ok((Published { issuer, keys }, lifetime(&answer.headers)))
}

fn parse(document: &[u8]) -> Result<Discovery, Error> {
    let found: Discovery = serde_json::from_slice(document).map_err(|error| Error::Discovery(error.to_string()))?;
    match found.issuer.is_empty() {
        true => Err(Error::Discovery("its issuer is empty".to_owned())),
        false => Ok(found),
    }
}

/// Returns the answer, which may have been sent on a few times.
async fn get(http: &Http, url: &str, what: &'static str) -> Result<Answer, Error> {
    let bad_url = || Error::Fetch { what, source: innkeep_fetch::Error::Url(url.to_owned()) };
    let mut uri: Uri = url.parse().map_err(|_| bad_url())?;
    for _ in 0..=limits::MAX_ISSUER_REDIRECTS {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let answer = http.get(&uri, headers).await.map_err(|source| Error::Fetch { what, source })?;
        match answer.status {
            StatusCode::OK => return Ok(answer),
            status if !status.is_redirection() => return Err(Error::Status { what, status }),
            status => {
                let location = answer.headers.get(LOCATION).ok_or(Error::Status { what, status })?;
                let location = location.to_str().map_err(|_| Error::BadRedirect { what })?;
                uri = follow(&uri, location).ok_or(Error::BadRedirect { what })?;
            }
        }
    }
    Err(Error::TooManyRedirects { what })
}

/// Returns where a redirection leads: another URL, or another path. None back out of TLS.
fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let scheme = from.scheme_str()?;
    let to: Uri = match location.starts_with('/') && !location.starts_with("//") {
        true => format!("{scheme}://{}{location}", authority_of(from)?).parse().ok()?,
        false => location.parse().ok()?,
    };
    (scheme == "http" || to.scheme_str() == Some("https")).then_some(to)
}

async fn collect(answer: &mut Answer, limit: usize, what: &'static str) -> Result<Vec<u8>, Error> {
    answer.body.collect(limit).await.map_err(|source| Error::Fetch { what, source })
}

/// Returns for how long keys are good, as their issuer says within our bounds. Source: RFC 9111 section 5.2.2.
fn lifetime(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    let said = directives.find_map(|directive| match directive.strip_prefix("max-age=") {
        Some(secs) => secs.trim_matches('"').parse().ok().map(Duration::from_secs),
        None => matches!(&*directive, "no-store" | "no-cache").then_some(Duration::ZERO),
    });
    let (least, most) = limits::ISSUER_KEYS_LIFETIMES;
    said.map_or(limits::ISSUER_KEYS_LIFETIME, |said| said.clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_live_as_long_as_their_issuer_says_within_bounds() {
        let check = |value: &'static str, secs: u64| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(lifetime(&headers).as_secs(), secs, "{value}");
        };
        assert_eq!(lifetime(&HeaderMap::new()).as_secs(), 600);
        check("public, max-age=300", 300);
        check("MAX-AGE=\"120\"", 120);
        check("max-age=1", 60);
        check("max-age=999999999", 3600);
        check("max-age=-1", 600);
        check("max-age=99999999999999999999999", 600);
        check("no-store", 60);
        check("private", 600);
    }

    #[test]
    fn a_redirection_never_leaves_tls() {
        let check = |from: &str, location: &str, expect: Option<&str>| {
            let to = follow(&from.parse().unwrap(), location).map(|uri| uri.to_string());
            assert_eq!(to.as_deref(), expect, "{from} {location}");
        };
        check("https://a.example/x", "https://b.example/y", Some("https://b.example/y"));
        check("https://a.example:8443/x", "/y?z", Some("https://a.example:8443/y?z"));
        check("http://a.example/x", "https://b.example/y", Some("https://b.example/y"));
        check("http://a.example/x", "http://b.example/y", Some("http://b.example/y"));
        check("https://a.example/x", "http://a.example/x", None);
        check("https://a.example/x", "//b.example/y", None);
        check("https://a.example/x", "y", None);
        check("https://a.example/x", "file:///etc/passwd", None);
    }

    #[test]
    fn a_discovery_document_says_once_who_issues_and_where_the_keys_are() {
        let parsed = |text: &str| parse(text.as_bytes()).map(|found| (found.issuer, found.jwks_uri)).ok();
        let found = parsed(r#"{"issuer": "https://a", "jwks_uri": "https://a/jwks", "more": [{}]}"#);
        assert_eq!(found, Some(("https://a".to_owned(), "https://a/jwks".to_owned())));
        for bad in [
            "",
            "[]",
            r#"{"issuer": "https://a"}"#,
            r#"{"issuer": "", "jwks_uri": "https://a/jwks"}"#,
            r#"{"issuer": ["https://a"], "jwks_uri": "https://a/jwks"}"#,
            r#"{"issuer": "https://a", "issuer": "https://b", "jwks_uri": "https://a/jwks"}"#,
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
