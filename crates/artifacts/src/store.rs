//! What every operation of the store needs, and what it keeps about one artifact.

use std::fs;
use std::io;
use std::sync::Arc;

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::home::Home;
use crate::host::Host;
use crate::image::{Pulls, Registries};
use crate::s3::S3;
use crate::single_flight::SingleFlight;
use crate::{Error, digest};

/// Archives and layers of images that are unpacked at one time: each takes a processor and a disk. Source: our choice.
pub(crate) const UNPACKERS: usize = 4;

/// The directory, the host's programs, the object store, and who works on what.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) home: Home,
    pub(crate) host: Host,
    pub(crate) flights: SingleFlight,
    pub(crate) registries: Registries,
    pub(crate) pulls: Pulls,
    /// Who unpacks an image.
    pub(crate) unpacking: Arc<Semaphore>,
    /// The object store, if one is named.
    pub(crate) s3: Option<S3>,
}

impl Store {
    /// Waits until few enough unpack images; the caller is one of them until the permit is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue and nothing else.
    pub(crate) async fn may_unpack(&self) -> OwnedSemaphorePermit {
        self.unpacking.clone().acquire_owned().await.expect("nobody closes it")
    }
}

/// What one artifact is made of. Its digest is the artifact's prefix, so the same code with the same packages has the same
/// prefix, and another layer gives another artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) zip: ArtifactDigest,
    pub(crate) layer: Option<ArtifactDigest>,
}

impl Manifest {
    /// Names the artifact.
    pub(crate) fn digest(&self) -> ArtifactDigest {
        digest::of_json(self)
    }

    /// Keeps the manifest durably and returns its digest.
    pub(crate) fn write(&self, home: &Home) -> Result<ArtifactDigest, Error> {
        let io = |source| Error::Io { doing: "keep the manifest of an artifact".to_owned(), source };
        let digest = self.digest();
        let json = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        home.write(&home.manifest(&digest), &json).map_err(io)?;
        Ok(digest)
    }

    /// Returns the manifest of the artifact that `prefix` names.
    pub(crate) fn load(home: &Home, prefix: &str) -> Result<Self, Error> {
        let missing = || Error::NotFound(prefix.to_owned());
        let digest = ArtifactDigest::parse(prefix).map_err(|_| missing())?;
        let json = fs::read(home.manifest(&digest)).map_err(|_| missing())?;
        serde_json::from_slice(&json).map_err(|_| missing())
    }
}

/// Runs `work` on a thread that may block. It runs to its end even if the caller goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    run_blocking(work).await.unwrap_or_else(|source| Err(Error::Io { doing: doing.to_owned(), source }))
}

/// The same for work that has errors of another kind; the outer one says that it died.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
