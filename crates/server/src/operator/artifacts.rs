//! Artifacts: `GET artifacts`, `POST artifacts`, `DELETE artifacts/{digest}`, `PUT layers/{fingerprint}`, `HEAD layers/{fingerprint}`.

use std::path::Path;

use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use innkeep_artifacts::{Error, Kind, Scratch, Stored, StoredKind};
use innkeep_auth::Digest;
use innkeep_gateway::Inbound;
use innkeep_protocol::operator::{ArtifactList, ArtifactUse, ArtifactView, UploadedArtifact, UploadedImage};
use innkeep_store::Deployed;
use innkeep_types::{Artifact, ArtifactDigest, ErrorKind, limits};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::operator::query::Query;
use crate::operator::{Operator, no_content};
use crate::respond::{self, Body, Refused};

/// What a version is made of.
type Used = (Artifact, Option<ArtifactDigest>);

impl Operator {
    pub(crate) async fn upload_artifact(
        &self,
        parts: &Parts,
        body: &mut Inbound,
        query: &Query,
    ) -> Result<Response<Body>, Refused> {
        let kind = match query.get("kind") {
            Some("zip") | None => Kind::Zip,
            Some("project") => Kind::Project { layer: query.get("layer").map(str::to_owned) },
            Some("image") => return self.upload_image(parts, body, query).await,
            Some(other) => {
                let message = format!("unknown kind {other:?}: zip, project or image");
                return Err(Refused::new(ErrorKind::Validation, message));
            }
        };
        let file = self.receive(parts, body, limits::MAX_ZIP_BYTES).await?;
        let uploaded = self.artifacts.add(file, kind).await.map_err(refused)?;
        let answer = UploadedArtifact {
            bucket: Artifact::BUILT_IN_BUCKET.to_owned(),
            prefix: uploaded.prefix,
            runtime: uploaded.runtime,
            entry_point: uploaded.entry_point,
            notes: uploaded.notes,
        };
        Ok(respond::json(201, &answer))
    }

    async fn upload_image(&self, parts: &Parts, body: &mut Inbound, query: &Query) -> Result<Response<Body>, Refused> {
        let file = self.receive(parts, body, limits::MAX_IMAGE_BYTES).await?;
        let innkeep_artifacts::UploadedImage { container_uri, notes } =
            self.artifacts.add_image(file, query.get("name"), query.get("tag")).await.map_err(refused)?;
        Ok(respond::json(201, &UploadedImage { container_uri, notes }))
    }

    pub(crate) async fn list_artifacts(&self) -> Result<Response<Body>, Refused> {
        let (in_use, versions) = self.in_use().await?;
        let stored = self.artifacts.list(in_use).await.map_err(refused)?;
        let view = |stored: Stored| ArtifactView {
            digest: stored.digest.to_string(),
            kind: match stored.kind {
                StoredKind::Code => "code".to_owned(),
                StoredKind::Image => "image".to_owned(),
            },
            reference: stored.reference,
            bytes: stored.bytes,
            used_by: stored.used_by.into_iter().filter_map(|idx| versions.get(idx).cloned()).collect(),
            last_used_at: stored.used_at.to_string(),
        };
        Ok(respond::json(200, &ArtifactList { artifacts: stored.into_iter().map(view).collect() }))
    }

    pub(crate) async fn remove_artifact(&self, digest: &str) -> Result<Response<Body>, Refused> {
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        let digest = ArtifactDigest::parse(digest).map_err(|e| Refused::new(ErrorKind::Validation, e.to_string()))?;
        let (in_use, versions) = self.in_use().await?;
        match self.artifacts.remove(&digest, &in_use).await {
            Ok(()) => Ok(no_content()),
            Err(Error::InUse { used_by, .. }) => {
                let users = used_by.into_iter().filter_map(|idx| versions.get(idx));
                let users: Vec<_> = users.map(|user| format!("version {} of {}", user.version, user.runtime)).collect();
                let message = format!(
                    "artifact {digest} is needed by {}; delete or update first what needs it",
                    users.join(", ")
                );
                Err(Refused::new(ErrorKind::Conflict, message))
            }
            Err(error) => Err(refused(error)),
        }
    }

    /// Returns what versions are made of, and at the same positions which versions they are.
    async fn in_use(&self) -> Result<(Vec<Used>, Vec<ArtifactUse>), Refused> {
        let deployed = self.store.deployed().await.map_err(|e| Refused::internal(&e))?;
        let split = |it: Deployed| ((it.artifact, it.bundle), ArtifactUse { runtime: it.runtime, version: it.version });
        Ok(deployed.into_iter().map(split).unzip())
    }

    pub(crate) async fn upload_layer(
        &self,
        parts: &Parts,
        body: &mut Inbound,
        fingerprint: &str,
    ) -> Result<Response<Body>, Refused> {
        let file = self.receive(parts, body, limits::MAX_ZIP_BYTES).await?;
        self.artifacts.add_layer(fingerprint, file).await.map_err(refused)?;
        Ok(no_content())
    }

    pub(crate) fn has_layer(&self, fingerprint: &str) -> Response<Body> {
        let found = self.artifacts.has_layer(fingerprint);
        respond::empty(if found { StatusCode::OK } else { StatusCode::NOT_FOUND })
    }

    /// Receives an upload, whose signature is checked first, into a file of the artifact store's.
    async fn receive(&self, parts: &Parts, body: &mut Inbound, max_bytes: u64) -> Result<Scratch, Refused> {
        let claim = self.authenticator.upload_head(parts)?;
        let file = self.artifacts.upload_file().map_err(refused)?;
        let digest = self.write_to(file.path(), body, max_bytes).await?;
        self.authenticator.verify_operator(&claim, &digest)?;
        Ok(file)
    }

    async fn write_to(&self, path: &Path, body: &mut Inbound, max_bytes: u64) -> Result<[u8; 32], Refused> {
        let failed = |e: std::io::Error| Refused::internal(&e);
        let mut file = File::create(path).await.map_err(failed)?;
        let (mut digest, mut size) = (Digest::new(), 0_u64);
        while let Some(frame) = timeout(self.authenticator.body_stall_timeout, body.frame())
            .await
            .map_err(|_| self.authenticator.stalled())?
        {
            let broken = |_| Refused::new(ErrorKind::Validation, "the upload ended early");
            let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
            size += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if size > max_bytes {
                let message = format!("the upload exceeds {max_bytes} bytes");
                return Err(Refused::new(ErrorKind::Validation, message));
            }
            // A chunk is what one read of the socket gave: at most a few hundred KiB, below a millisecond of hashing.
            digest.update(&chunk);
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        Ok(digest.finish())
    }
}

fn refused(error: Error) -> Refused {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable => Refused::internal(&error),
        kind if matches!(error, Error::Image(_)) => Refused::new(kind, chain(&error)),
        kind => Refused::new(kind, error.to_string()),
    }
}

/// What an image has wrong is told by its layer, and there by the entry.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
