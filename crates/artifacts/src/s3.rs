//! Objects of an S3-compatible store: one GET, signed, streamed into a file, repeated where that may help.
//! Knows nothing of what is in an object, nor of what becomes of it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use innkeep_fetch::{Answer, Http};
use innkeep_types::limits::MAX_ZIP_BYTES;
use rusty_s3::actions::GetObject;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::S3Options;
use crate::retry::{FIRST_PAUSE, Retry};
use crate::s3::refusal::Refusal;

mod error;
mod refusal;
#[cfg(test)]
mod tests;

pub use error::Error;

/// How long an object may take, all attempts together.
const FETCH_LIMIT: Duration = Duration::from_secs(10 * 60);

/// For how long a signature is good: an attempt has a new one.
const SIGNED_FOR: Duration = Duration::from_secs(5 * 60);

/// One object; with a version, one that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " (versionId {version})"))
    }
}

/// What the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The object is in the file now.
    New { etag: Option<String>, version: Option<String> },
    /// It is the one that the caller has.
    Unchanged,
}

/// Handle to the store.
#[derive(Debug)]
pub(crate) struct S3 {
    options: S3Options,
    http: Http,
    first_pause: Duration,
}

impl S3 {
    /// Checks `options`; asks nobody yet.
    pub(crate) fn new(options: S3Options) -> Result<Self, Error> {
        let s3 = Self { options, http: Http::default(), first_pause: FIRST_PAUSE };
        if let Some((_, host)) = s3.endpoint().split_once('@') {
            let problem = "who asks is told by access_key_id and secret_access_key alone".to_owned();
            return Err(Error::Endpoint { endpoint: format!("…@{host}"), problem });
        }
        s3.bucket("bucket")?;
        let endpoint = s3.endpoint();
        if endpoint.parse().is_ok_and(|uri: Uri| uri.scheme_str() == Some("http") && !innkeep_fetch::is_loopback(&uri))
        {
            tracing::warn!("code comes from {endpoint} without TLS: who can change it on its way runs what he likes");
        }
        Ok(s3)
    }

    /// Returns the store's base URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.options.endpoint
    }

    /// Writes the object to the file `into`, unless it still is the one with the `known` entity tag.
    ///
    /// # Errors
    /// What the store refuses at once; what may pass after a few attempts, ten minutes at most. The file then holds anything.
    ///
    /// # Cancel safety
    /// Dropping the future ends the download; the file then holds anything.
    pub(crate) async fn fetch(&self, object: &Object, known: Option<&str>, into: &Path) -> Result<Fetched, Error> {
        let attempts = self.attempts(object, known, into);
        match tokio::time::timeout(FETCH_LIMIT, attempts).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Error::Late { what: self.name(object), limit: FETCH_LIMIT }),
        }
    }

    /// Returns an object of at most `limit` bytes, asked for once. `owner`: the account that must own the bucket, where the store knows
    /// accounts.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn read(&self, object: &Object, owner: Option<&str>, limit: usize) -> Result<Vec<u8>, Error> {
        let mut answer = self.ask(object, &self.signed(object, owner)?, HeaderMap::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(object, &mut answer).await);
        }
        answer.body.collect(limit).await.map_err(|source| self.no_answer(object, source))
    }

    async fn attempts(&self, object: &Object, known: Option<&str>, into: &Path) -> Result<Fetched, Error> {
        let mut retry = Retry::from(self.first_pause);
        loop {
            match self.attempt(object, known, into).await {
                Err(error) if error.may_pass() && retry.again().await => {
                    tracing::info!(error = &error as &dyn std::error::Error, "asking again: {error}");
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self, object: &Object, known: Option<&str>, into: &Path) -> Result<Fetched, Error> {
        let mut headers = HeaderMap::new();
        if let Some(etag) = known.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let mut answer = self.ask(object, &self.signed(object, None)?, headers).await?;
        match answer.status {
            StatusCode::OK => self.write(object, answer, into).await,
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(Fetched::Unchanged),
            _ => Err(self.refused(object, &mut answer).await),
        }
    }

    async fn ask(&self, object: &Object, url: &Uri, headers: HeaderMap) -> Result<Answer, Error> {
        self.http.get(url, headers).await.map_err(|source| self.no_answer(object, source))
    }

    fn no_answer(&self, object: &Object, source: innkeep_fetch::Error) -> Error {
        let may_pass = source.may_pass();
        Error::NoAnswer { what: self.name(object), source: Box::new(source), may_pass }
    }

    async fn refused(&self, object: &Object, answer: &mut Answer) -> Error {
        let refusal = Refusal::read(answer, object, &self.options.region).await;
        Error::Refused { what: self.name(object), refusal: refusal.to_string(), may_pass: refusal.may_pass() }
    }

    async fn write(&self, object: &Object, mut answer: Answer, into: &Path) -> Result<Fetched, Error> {
        let text = |name: &str| answer.headers.get(name)?.to_str().ok().map(str::to_owned);
        let (etag, version) = (text("etag"), text("x-amz-version-id"));
        let told = text("content-length").and_then(|length| length.parse::<u64>().ok());
        if told.is_some_and(|bytes| bytes > MAX_ZIP_BYTES) {
            return Err(Error::TooLarge { what: self.name(object) });
        }
        let io = |source| Error::Io { what: self.name(object), source };
        let mut file = File::create(into).await.map_err(io)?;
        let mut left = MAX_ZIP_BYTES;
        loop {
            let chunk = answer.body.chunk().await.map_err(|source| self.no_answer(object, source))?;
            let Some(chunk) = chunk else { break };
            let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(bytes).ok_or_else(|| Error::TooLarge { what: self.name(object) })?;
            file.write_all(&chunk).await.map_err(io)?;
        }
        // What is written goes to a thread of its own, and this waits for it.
        file.flush().await.map_err(io)?;
        Ok(Fetched::New { etag, version })
    }

    fn signed(&self, object: &Object, owner: Option<&str>) -> Result<Uri, Error> {
        // A URL that holds them is the one of another object, perhaps in another bucket.
        if object.key.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Error::Key { what: self.name(object) });
        }
        let bucket = self.bucket(&object.bucket)?;
        let credentials = Credentials::new(&self.options.access_key_id, &self.options.secret_access_key.0);
        let mut get = GetObject::new(&bucket, Some(&credentials), &object.key);
        if let Some(version) = &object.version {
            get.query_mut().insert("versionId", version);
        }
        if let Some(owner) = owner {
            get.query_mut().insert("x-amz-expected-bucket-owner", owner);
        }
        let url = get.sign(SIGNED_FOR);
        url.as_str().parse().map_err(|_| self.unusable(&format!("{} makes no URL with it", object.bucket)))
    }

    fn bucket(&self, name: &str) -> Result<Bucket, Error> {
        let S3Options { endpoint, region, path_style, .. } = &self.options;
        let style = if *path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = endpoint.parse().map_err(|error| self.unusable(&format!("{error}")))?;
        Bucket::new(endpoint, style, name.to_owned(), region.clone()).map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, problem: &str) -> Error {
        Error::Endpoint { endpoint: self.options.endpoint.clone(), problem: problem.to_owned() }
    }

    fn name(&self, object: &Object) -> String {
        format!("{object} at {}", self.options.endpoint)
    }
}
