//! Uploads: `POST artifacts`, `PUT layers/{fingerprint}`, `HEAD layers/{fingerprint}`.

use std::path::{Path, PathBuf};

use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use innkeep_artifacts::{Error, Kind};
use innkeep_auth::Digest;
use innkeep_gateway::Inbound;
use innkeep_protocol::operator::UploadedArtifact;
use innkeep_types::{Artifact, ErrorKind, limits};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::operator::query::Query;
use crate::operator::{Operator, no_content};
use crate::respond::{self, Body, Refused};

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
            Some(other) => {
                return Err(Refused::new(ErrorKind::Validation, format!("unknown kind {other:?}: zip or project")));
            }
        };
        let file = self.receive(parts, body).await?;
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

    pub(crate) async fn upload_layer(
        &self,
        parts: &Parts,
        body: &mut Inbound,
        fingerprint: &str,
    ) -> Result<Response<Body>, Refused> {
        let file = self.receive(parts, body).await?;
        self.artifacts.add_layer(fingerprint, file).await.map_err(refused)?;
        Ok(no_content())
    }

    pub(crate) fn has_layer(&self, fingerprint: &str) -> Response<Body> {
        let found = self.artifacts.has_layer(fingerprint);
        respond::empty(if found { StatusCode::OK } else { StatusCode::NOT_FOUND })
    }

    /// Receives an upload into a file of the artifact store's, and checks its signature. On an error the file is gone.
    async fn receive(&self, parts: &Parts, body: &mut Inbound) -> Result<PathBuf, Refused> {
        let claim = self.authenticator.operator_head(parts)?;
        let path = self.artifacts.upload_file().map_err(refused)?;
        let received = self.write_to(&path, body).await;
        let verified = received.and_then(|digest| self.authenticator.verify_operator(&claim, &digest));
        match verified {
            Ok(()) => Ok(path),
            Err(refused) => {
                let _ = tokio::fs::remove_file(&path).await;
                Err(refused)
            }
        }
    }

    async fn write_to(&self, path: &Path, body: &mut Inbound) -> Result<[u8; 32], Refused> {
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
            if size > limits::MAX_ZIP_BYTES {
                let message = format!("the upload exceeds {} bytes", limits::MAX_ZIP_BYTES);
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
        kind => Refused::new(kind, error.to_string()),
    }
}
