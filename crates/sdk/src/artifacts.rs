//! The operator API's artifacts: uploads of zips, projects, layers and images; what the store holds, and its removal.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use innkeep_protocol::operator::{ArtifactList, UploadedArtifact, UploadedImage};

use crate::body::{Payload, Upload};
use crate::client::{Call, Client, encode, with_query};
use crate::error::Error;

/// Time for an upload of code: the server installs a project's dependencies before it answers. Source: our choice.
const CODE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Time for an upload of an image, which the server unpacks before it answers. Source: our choice; 2 GB at 5 Mbit/s.
const IMAGE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

const ARTIFACTS: &str = "/innkeep/v1/artifacts";

/// What an uploaded zip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadKind {
    /// A finished code zip: dependencies are inside.
    Zip,
    /// A project folder, zipped: dependencies are installed by the server, unless a layer brings them.
    Project {
        /// Fingerprint of the layer.
        layer: Option<String>,
    },
}

impl Client {
    /// Uploads a zip; returns what to put into `codeConfiguration`. A project's dependencies are installed meanwhile.
    pub async fn upload_artifact(&self, zip: impl Into<Upload>, kind: &UploadKind) -> Result<UploadedArtifact, Error> {
        let (kind, layer) = match kind {
            UploadKind::Zip => ("zip", None),
            UploadKind::Project { layer } => ("project", layer.as_deref()),
        };
        let target = with_query(ARTIFACTS, &[("kind", Some(kind)), ("layer", layer)]);
        self.json(upload(Method::POST, target, zip.into(), "application/zip", CODE_TIMEOUT)).await
    }

    /// Uploads an image: an archive of `docker save`, or an OCI layout as tar, compressed with gzip or not. Returns what to put into
    /// `containerConfiguration`. `name` is for people who look at the store; `tag` says which of several images is meant, by its name in
    /// the archive or by its tag.
    pub async fn upload_image(
        &self,
        archive: impl Into<Upload>,
        name: &str,
        tag: Option<&str>,
    ) -> Result<UploadedImage, Error> {
        let target = with_query(ARTIFACTS, &[("kind", Some("image")), ("name", Some(name)), ("tag", tag)]);
        self.json(upload(Method::POST, target, archive.into(), "application/octet-stream", IMAGE_TIMEOUT)).await
    }

    /// Tells whether the server has the layer.
    pub async fn has_layer(&self, fingerprint: &str) -> Result<bool, Error> {
        match self.send(Call::new(Method::HEAD, layer_target(fingerprint))).await {
            Ok(_) => Ok(true),
            Err(Error::Service { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a layer: the contents of a `site-packages`, zipped.
    pub async fn upload_layer(&self, fingerprint: &str, zip: impl Into<Upload>) -> Result<(), Error> {
        let call = upload(Method::PUT, layer_target(fingerprint), zip.into(), "application/zip", CODE_TIMEOUT);
        self.send(call).await.map(drop)
    }

    /// Returns what the artifact store holds, last used first.
    pub async fn artifacts(&self) -> Result<ArtifactList, Error> {
        self.json(Call::new(Method::GET, ARTIFACTS)).await
    }

    /// Removes one artifact; one that a version needs is refused.
    pub async fn delete_artifact(&self, digest: &str) -> Result<(), Error> {
        self.send(Call::new(Method::DELETE, format!("{ARTIFACTS}/{}", encode(digest)))).await.map(drop)
    }
}

fn upload(method: Method, target: String, upload: Upload, media_type: &'static str, timeout: Duration) -> Call {
    let mut call = Call::new(method, target);
    call.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    call.payload = Payload::File(upload);
    call.timeout = timeout;
    call
}

fn layer_target(fingerprint: &str) -> String {
    format!("/innkeep/v1/layers/{}", encode(fingerprint))
}
