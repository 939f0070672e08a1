//! One repository of one registry: manifests and blobs by the OCI distribution specification, with whatever login it asks for.
//!
//! Credentials go to the registry and to the token service that it names itself, over TLS unless the registry is spoken to
//! without; when it sends us on to another host (object stores, most of the time), they stay behind, and what that host asks for
//! or says is not listened to. Link-local addresses are asked only if the operator names them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use innkeep_fetch::{Answer, Body, Deadlines, Error as HttpError, Http, Reach, Roots, authority_of, is_loopback};
use innkeep_types::ArtifactDigest;
use innkeep_types::limits::MAX_IMAGE_METADATA_BYTES;
use tokio::sync::{Mutex, OnceCell};

use crate::image::Problem;
use crate::image::manifest::{Descriptor, Document, MANIFEST_TYPES};
use crate::image::reference::{Reference, parse_digest};
use crate::image::registry::credentials::Login;
use crate::retry::Retry;
use crate::{RegistryOptions, digest};

mod challenge;
mod credentials;
mod token;

/// The longest pause that a registry may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How often one request may be sent on. Source: what browsers and Docker take is 10 and more; registries need 1.
const MAX_REDIRECTS: usize = 5;
/// How much of an error's body is looked at, bytes.
const MAX_ERROR_BYTES: usize = 16 << 10;

/// All that is known of registries.
#[derive(Debug, Default)]
pub(crate) struct Registries {
    http: Http,
    options: BTreeMap<String, RegistryOptions>,
    docker_config: Option<PathBuf>,
}

/// One repository of one registry.
#[derive(Debug)]
pub(crate) struct Registry<'a> {
    registries: &'a Registries,
    /// As references name it.
    host: String,
    repository: String,
    /// `https://HOST` or `http://HOST`.
    base: String,
    /// Looked up when the registry first asks.
    login: OnceCell<Option<Login>>,
    /// What it has accepted.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Registries {
    /// Returns what the settings say.
    pub(crate) fn new(options: BTreeMap<String, RegistryOptions>, docker_config: Option<PathBuf>) -> Self {
        let http = Http::new(
            Reach::BeyondLinkLocal(options.keys().cloned().collect()),
            Roots::default(),
            Deadlines::default(),
        );
        Self { http, options, docker_config }
    }

    /// Returns the repository of `reference`, having found out how its registry is spoken to.
    pub(crate) async fn open(&self, reference: &Reference) -> Result<Registry<'_>, Problem> {
        let mut registry = Registry {
            registries: self,
            host: reference.host.clone(),
            repository: reference.repository.clone(),
            base: format!("https://{}", reference.api_host()),
            login: OnceCell::new(),
            authorization: Mutex::default(),
        };
        let uri = registry.uri("/v2/")?;
        let mut retry = Retry::default();
        loop {
            let error = match self.http.get(&uri, HeaderMap::new()).await {
                Ok(_) => return Ok(registry),
                Err(error) => error,
            };
            let is_allowed = self.options.get(&registry.host).is_some_and(|options| options.allow_plain_http);
            let may_be_plain = is_allowed || is_loopback(&uri);
            match error {
                HttpError::NotTls { .. } | HttpError::Unreachable { .. } | HttpError::Late { .. }
                    if may_be_plain && self.speaks_plain_http(&uri).await =>
                {
                    registry.base = format!("http://{}", reference.api_host());
                    return Ok(registry);
                }
                HttpError::NotTls { .. } if !may_be_plain && self.speaks_plain_http(&uri).await => {
                    return Err(Problem::PlainHttp { registry: registry.host });
                }
                error if error.may_pass() && retry.again().await => {}
                error => return Err(registry.unreachable("its version", error)),
            }
        }
    }

    /// Tells whether what failed to speak TLS answers without. Nothing secret is sent.
    async fn speaks_plain_http(&self, uri: &Uri) -> bool {
        let Some(authority) = authority_of(uri) else { return false };
        match format!("http://{authority}/v2/").parse() {
            Ok(plain) => self.http.get(&plain, HeaderMap::new()).await.is_ok(),
            Err(_) => false,
        }
    }
}

impl Registry<'_> {
    /// Returns what the reference's digest names, or else its tag, and its digest.
    pub(crate) async fn manifest(&self, reference: &Reference) -> Result<(ArtifactDigest, Document), Problem> {
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, tag) => tag.clone().unwrap_or_default(),
        };
        let what = format!("manifest {name} of {}", self.repository);
        let path = format!("/v2/{}/manifests/{name}", self.repository);
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES))]);
        let mut answer = self.get(&path, accept, &what).await?;
        let json = self.collect(&mut answer, &what).await?;
        let found = digest::of_bytes(&json);
        let told = answer.headers.get("docker-content-digest").and_then(|told| parse_digest(told.to_str().ok()?));
        match reference.digest.clone().or(told) {
            Some(expected) if expected != found => {
                Err(Problem::Digest { what: "its manifest".to_owned(), expected, found })
            }
            _ => Ok((found, Document::parse(&json)?)),
        }
    }

    /// Returns a blob that is held in memory: a configuration.
    pub(crate) async fn small_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        let what = format!("configuration sha256:{}", descriptor.digest);
        let path = format!("/v2/{}/blobs/sha256:{}", self.repository, descriptor.digest);
        let mut answer = self.get(&path, HeaderMap::new(), &what).await?;
        let bytes = self.collect(&mut answer, &what).await?;
        let (expected, found) = (descriptor.digest.clone(), digest::of_bytes(&bytes));
        if expected == found {
            Ok(bytes)
        } else {
            Err(Problem::Digest { what: "its configuration".to_owned(), expected, found })
        }
    }

    /// Returns a blob from byte `from` on, or from its beginning if the registry gives no parts; and from where it is.
    pub(crate) async fn blob(&self, digest: &ArtifactDigest, from: u64, what: &str) -> Result<(u64, Body), Problem> {
        let path = format!("/v2/{}/blobs/sha256:{digest}", self.repository);
        let mut headers = HeaderMap::new();
        if from > 0 {
            let range = HeaderValue::try_from(format!("bytes={from}-")).expect("digits make a header's value");
            headers.insert(RANGE, range);
        }
        let mut answer = self.get(&path, headers, what).await?;
        if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
            answer = self.get(&path, HeaderMap::new(), what).await?;
        }
        let is_part = answer.status == StatusCode::PARTIAL_CONTENT && starts_at(&answer.headers) == Some(from);
        match answer.status {
            StatusCode::OK => Ok((0, answer.body)),
            _ if is_part => Ok((from, answer.body)),
            status => {
                let (registry, what, status) = (self.host.clone(), what.to_owned(), status.as_u16());
                Err(Problem::Answer { registry, what, status, message: String::new() })
            }
        }
    }

    /// Says that the registry could not be asked.
    pub(crate) fn unreachable(&self, what: &str, error: HttpError) -> Problem {
        Problem::Unreachable { registry: self.host.clone(), what: what.to_owned(), source: Box::new(error) }
    }

    /// Sends a GET, logs in where that is asked for, and tries again what may pass.
    async fn get(&self, path: &str, headers: HeaderMap, what: &str) -> Result<Answer, Problem> {
        let uri = self.uri(path)?;
        let (mut retry, mut logged_in) = (Retry::default(), false);
        loop {
            let mut headers = headers.clone();
            let authorization = self.authorization.lock().await.clone();
            headers.extend(authorization.clone().map(|value| (AUTHORIZATION, value)));
            let (answer, at) = match self.follow(&uri, headers, what).await? {
                Ok(reached) => reached,
                Err(error) if error.may_pass() && retry.again().await => continue,
                Err(error) => return Err(self.unreachable(what, error)),
            };
            match answer.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(answer),
                // Whom the registry sends us to could name a realm of his own, and be told the password.
                StatusCode::UNAUTHORIZED if !logged_in && self.is_own(&at) => {
                    logged_in = true;
                    self.log_in(&answer.headers, authorization).await?;
                }
                status
                    if (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
                        && retry.again_after(pause_asked_for(&answer.headers)).await => {}
                _ => return Err(self.refusal(answer, &at, what).await),
            }
        }
    }

    /// Gets something, following where the registry sends us; tells who answered. The inner error is the network's.
    async fn follow(
        &self,
        uri: &Uri,
        mut headers: HeaderMap,
        what: &str,
    ) -> Result<Result<(Answer, Uri), HttpError>, Problem> {
        let mut at = uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = match self.registries.http.get(&at, headers.clone()).await {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            let location = answer.headers.get(LOCATION).filter(|_| answer.status.is_redirection());
            let Some(location) = location.and_then(|location| location.to_str().ok()) else {
                return Ok(Ok((answer, at)));
            };
            let next = self.sent_on(&at, location, what)?;
            if authority_of(&next) != authority_of(&at) || next.scheme() != at.scheme() {
                headers.remove(AUTHORIZATION);
            }
            at = next;
        }
        Err(self.redirect(what, &at, "which sends it on again and again"))
    }

    fn sent_on(&self, at: &Uri, location: &str, what: &str) -> Result<Uri, Problem> {
        let absolute = if location.starts_with('/') && !location.starts_with("//") {
            let (scheme, authority) = (at.scheme_str().unwrap_or_default(), authority_of(at).unwrap_or_default());
            format!("{scheme}://{authority}{location}")
        } else {
            location.to_owned()
        };
        let next: Uri = absolute.parse().map_err(|_| self.redirect(what, at, "by an address that is none"))?;
        match (at.scheme_str(), next.scheme_str()) {
            (_, Some("https")) => Ok(next),
            (Some("http"), Some("http")) if self.may_be_plain(&next) => Ok(next),
            _ => Err(self.redirect(what, &next, "which is not TLS")),
        }
    }

    fn redirect(&self, what: &str, to: &Uri, problem: &'static str) -> Problem {
        // Without the query, which holds a signature.
        let to = authority_of(to).unwrap_or_default();
        Problem::Redirect { registry: self.host.clone(), what: what.to_owned(), to, problem }
    }

    /// Tells whether `uri` is the registry's own.
    fn is_own(&self, uri: &Uri) -> bool {
        authority_of(uri).is_some_and(|authority| self.base.split_once("://").is_some_and(|(_, own)| own == authority))
    }

    /// Tells whether `uri` may be asked without TLS: that one registry is, lets nobody else be.
    fn may_be_plain(&self, uri: &Uri) -> bool {
        let is_loopback_too = || is_loopback(uri) && self.base.parse().is_ok_and(|base| is_loopback(&base));
        self.base.starts_with("http:") && (self.is_own(uri) || is_loopback_too())
    }

    /// Says why `at` refused: the registry, or whom it sent us on to.
    async fn refusal(&self, mut answer: Answer, at: &Uri, what: &str) -> Problem {
        let is_own = self.is_own(at);
        let (registry, what) = (self.host.clone(), what.to_owned());
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !is_own => self.redirect(&what, at, "which refuses it"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(),
            StatusCode::NOT_FOUND => Problem::Missing { registry, what },
            StatusCode::TOO_MANY_REQUESTS => Problem::Throttled { registry },
            // What another host says is not shown: it may be one that only this server reaches.
            status if !is_own => Problem::Answer { registry, what, status: status.as_u16(), message: String::new() },
            status => {
                let body = answer.body.collect(MAX_ERROR_BYTES).await.unwrap_or_default();
                Problem::Answer { registry, what, status: status.as_u16(), message: error_message(&body) }
            }
        }
    }

    /// Says that nobody like us may have it.
    fn denied(&self) -> Problem {
        let tried = match self.login.get() {
            Some(Some(login)) => format!("to the credentials from {}", login.place),
            _ => "to the anonymous: no credentials for it are known here".to_owned(),
        };
        Problem::Denied { registry: self.host.clone(), tried }
    }

    async fn collect(&self, answer: &mut Answer, what: &str) -> Result<Vec<u8>, Problem> {
        let collected = answer.body.collect(MAX_IMAGE_METADATA_BYTES).await;
        collected.map_err(|error| self.unreachable(what, error))
    }

    /// Makes the authorization that an answer asks for; `used` did not do.
    async fn log_in(&self, headers: &HeaderMap, used: Option<HeaderValue>) -> Result<(), Problem> {
        let mut authorization = self.authorization.lock().await;
        if *authorization != used {
            // Another layer's request has logged in meanwhile.
            return Ok(());
        }
        let login = self.login.get_or_try_init(|| self.registries.login(&self.host)).await?;
        let asked = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        *authorization = Some(match challenge::strongest(asked) {
            Some(challenge::Challenge::Bearer { realm, service }) => {
                token::fetch(self, &realm, &service, login.as_ref()).await?
            }
            Some(challenge::Challenge::Basic) | None => match login.as_ref().and_then(Login::basic) {
                Some(basic) if used.is_none() => basic,
                _ => return Err(self.denied()),
            },
        });
        Ok(())
    }

    fn uri(&self, path: &str) -> Result<Uri, Problem> {
        let uri = format!("{}{path}", self.base);
        uri.parse().map_err(|_| self.unreachable(path, HttpError::Url(uri)))
    }
}

fn pause_asked_for(headers: &HeaderMap) -> Option<Duration> {
    // A date, the other form, is left to our own pace.
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// Returns the first byte that `Content-Range: bytes A-B/C` tells of.
fn starts_at(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// Returns what `{"errors":[{"message":…}]}` says, for a sentence that it ends.
fn error_message(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = json.pointer("/errors/0/message").and_then(serde_json::Value::as_str).unwrap_or_default();
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    if message.is_empty() { message } else { format!(" ({message})") }
}
