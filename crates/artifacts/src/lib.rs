//! Artifact to bundle: code zips, project folders and OCI images made ready to start on this host, kept by content.
//!
//! ```text
//! <data dir>/artifacts/zips/<digest>.zip        what was uploaded
//! <data dir>/artifacts/objects/<bundle>.json     which object of an object store became the bundle's zip
//! <data dir>/artifacts/layers/<fingerprint>/    site-packages, built here or uploaded
//! <data dir>/artifacts/manifests/<digest>.json  which zip and which layer make one artifact (the digest is the prefix)
//! <data dir>/artifacts/bundles/<digest>/        unpacked, read-only; complete once it has a bundle.json
//! <data dir>/artifacts/images/<digest>.json     what the manifest of an image says
//! <data dir>/artifacts/image-layers/<diff id>/  one layer of images, unpacked
//! <data dir>/artifacts/blobs/<digest>.partial   a layer of an image that is being pulled
//! <data dir>/artifacts/tmp/                     unfinished work; emptied at start
//! ```
//!
//! Uploads are hostile until checked, and so is all that is in them: nothing of a project is run here, but its packages are
//! installed, which may run their build scripts with the server's rights. Who may deploy may do that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::{Artifact, ArtifactDigest, Settings, UnixMillis};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::home::Home;
use crate::host::Host;
use crate::image::{Pulls, Registries};
use crate::s3::S3;
use crate::single_flight::SingleFlight;
use crate::store::{Store, UNPACKERS};

mod answers;
mod archive;
mod bundle;
mod command;
mod digest;
mod error;
mod garbage;
mod home;
mod host;
mod image;
mod inventory;
mod launch;
mod layer;
mod object;
mod options;
mod project;
mod retry;
mod room;
mod s3;
mod single_flight;
mod store;
mod upload;

pub use answers::{Kind, Progress, Stored, StoredKind, Uploaded, UploadedImage};
pub use archive::{Error as ArchiveError, Problem as ArchiveProblem};
pub use error::Error;
pub use home::Scratch;
pub use host::INTERPRETERS;
pub use image::{EntryProblem, Error as ImageError, LayerError, Problem as ImageProblem};
pub use options::{Options, RegistryOptions, S3Options, Secret};
pub use project::Error as ProjectError;
pub use s3::Error as S3Error;

/// An artifact made ready to start on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Names it; the directory under `bundles/`.
    pub digest: ArtifactDigest,
    /// Its files.
    #[serde(flatten)]
    pub content: Content,
    /// Program and arguments: an absolute path; of an image also a name that is looked for along its `PATH`.
    pub argv: Vec<String>,
    /// What the bundle adds to the environment (`PYTHONPATH`, `PATH`, `PYTHONUNBUFFERED`, …).
    pub environment: BTreeMap<String, String>,
    /// `[agent]` of the `innkeep.toml` in the code, if any.
    pub settings: Settings,
}

impl Bundle {
    /// Returns the unpacked code; none of an image.
    pub fn code(&self) -> Option<&Path> {
        match &self.content {
            Content::Code { code, .. } => Some(code),
            Content::Image { .. } => None,
        }
    }
}

/// The files of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Code that runs upon the root file system that the host gives.
    Code {
        /// The unpacked code, read-only: the agent's working directory is this one.
        code: PathBuf,
        /// Folders of packages that it uses, read-only; the bundle's `environment` names them.
        layers: Vec<PathBuf>,
    },
    /// A root file system of its own.
    Image {
        /// What it is made of, and who runs in it.
        image: Image,
    },
}

/// An OCI image, unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its layers, each unpacked in a directory of its own, the topmost first; read-only, in overlayfs's form: a removed file is a
    /// character device 0:0, and a directory that hides those below it has the attribute `user.overlay.opaque` = `y`. As root
    /// their files belong to the ids that the image names; as an ordinary user all belong to that user.
    pub layers: Vec<PathBuf>,
    /// The user that its program runs as, inside.
    pub user: u32,
    /// That user's group, inside.
    pub group: u32,
    /// The user's further groups, inside.
    pub groups: Vec<u32>,
    /// The user's home, inside, by the image's list of users; `/` if that has none.
    #[serde(default = "no_home")]
    pub home: String,
    /// Where the program starts, inside; absolute. It need not exist.
    pub working_directory: PathBuf,
}

/// Returns the home of whom no list of users gives one.
fn no_home() -> String {
    "/".to_owned()
}

/// Handle to the artifact store; clones share it. Blocking work runs on blocking threads.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<Store>,
}

impl Artifacts {
    /// Opens, or creates, the store under `data_dir`, and removes what a crash left unfinished. The caller holds the lock on
    /// the data directory. Interpreters are looked for in `/usr/bin` and along the `PATH` of this process.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, Error> {
        let home = Home::open(data_dir)?;
        let s3 = options.s3.map(S3::new).transpose()?;
        // Not configuration: the same look-up that starting a program by its bare name does.
        let registries = Registries::new(options.registries, options.docker_config);
        let host = Host::new(&std::env::var_os("PATH").unwrap_or_default(), options.interpreters);
        Ok(Self {
            store: Arc::new(Store {
                home,
                host,
                flights: SingleFlight::default(),
                registries,
                pulls: Pulls::default(),
                unpacking: Arc::new(Semaphore::new(UNPACKERS)),
                s3,
            }),
        })
    }

    /// Returns an empty file in the store's directory for an upload, to be handed to [`Artifacts::add`], [`Artifacts::add_image`] or
    /// [`Artifacts::add_layer`].
    pub fn upload_file(&self) -> Result<Scratch, Error> {
        let file = self.store.home.scratch_file();
        file.map_err(|source| Error::Io { doing: "make a file for an upload".to_owned(), source })
    }

    /// Checks the zip in `upload` and stores it. The same zip gives the same prefix.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the artifact stored or not; nothing half done stays.
    pub async fn add(&self, upload: Scratch, kind: Kind) -> Result<Uploaded, Error> {
        upload::add(&self.store, upload, kind).await
    }

    /// Unpacks the image in the archive in `upload`: what `docker save` writes, or an OCI layout as a tar.
    /// `name`: what to call it, else as the archive does. `tag`: of several images in it the one of this name or tag.
    ///
    /// # Cancel safety
    /// As [`Artifacts::add`].
    pub async fn add_image(
        &self,
        upload: Scratch,
        name: Option<&str>,
        tag: Option<&str>,
    ) -> Result<UploadedImage, Error> {
        Ok(image::add(&self.store, upload, name, tag).await?)
    }

    /// Tells whether a layer is present.
    pub fn has_layer(&self, fingerprint: &str) -> bool {
        layer::present(&self.store.home, fingerprint).is_ok()
    }

    /// Unpacks the zip in `upload` as a layer of site-packages. `fingerprint`: 64 lower-case hex digits.
    ///
    /// # Cancel safety
    /// As [`Artifacts::add`].
    pub async fn add_layer(&self, fingerprint: &str, upload: Scratch) -> Result<(), Error> {
        layer::add(&self.store, layer::fingerprint(fingerprint)?, upload).await
    }

    /// Makes `artifact` ready: fetches, unpacks, checks entry point and interpreter. Idempotent; cheap the second time.
    ///
    /// # Cancel safety
    /// As [`Artifacts::add`].
    pub async fn prepare(&self, artifact: &Artifact) -> Result<Bundle, Error> {
        bundle::prepare(&self.store, artifact).await
    }

    /// Returns an object of at most `limit` bytes from the object store of the settings. `owner`: the account that must own the bucket,
    /// where the store knows accounts.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn read_object(
        &self,
        bucket: &str,
        key: &str,
        owner: Option<&str>,
        limit: usize,
    ) -> Result<Vec<u8>, Error> {
        let s3 = self.store.s3.as_ref().ok_or_else(|| Error::Bucket(bucket.to_owned()))?;
        let object = s3::Object { bucket: bucket.to_owned(), key: key.to_owned(), version: None };
        Ok(s3.read(&object, owner, limit).await?)
    }

    /// Tells how far the pull of `artifact` is, while one is going on.
    pub fn progress(&self, artifact: &Artifact) -> Option<Progress> {
        match artifact {
            Artifact::Container { uri } => self.store.pulls.of(uri),
            Artifact::Code { .. } => None,
        }
    }

    /// Makes the bundle called `digest` ready again, on a host or in a directory that it does not fit: of what it was made of the
    /// first time, which `artifact` may not name any more. A bundle of another name is what is there now.
    ///
    /// # Cancel safety
    /// As [`Artifacts::add`].
    pub async fn restore(&self, artifact: &Artifact, digest: &ArtifactDigest) -> Result<Bundle, Error> {
        bundle::restore(&self.store, artifact, digest).await
    }

    /// Tells whether a bundle was made of another object store's zip that is kept here, so that making it again needs no network. Reads
    /// the disk.
    pub fn keeps_object_of(&self, bundle: &ArtifactDigest) -> bool {
        object::Origin::load(&self.store.home, bundle).is_some()
    }

    /// Removes what no version needs and nobody has used since `used_since`, and returns how many things it was. `in_use`: each
    /// version's artifact, and its bundle once it has one.
    ///
    /// # Cancel safety
    /// Dropping the future may leave some of it; nothing is half removed.
    pub async fn retain(
        &self,
        in_use: Vec<(Artifact, Option<ArtifactDigest>)>,
        used_since: UnixMillis,
    ) -> Result<usize, Error> {
        garbage::remove(&self.store, in_use, used_since).await
    }

    /// Returns every artifact that is kept, the last used first. `in_use`: as for [`Artifacts::retain`].
    pub async fn list(&self, in_use: Vec<(Artifact, Option<ArtifactDigest>)>) -> Result<Vec<Stored>, Error> {
        inventory::list(&self.store, in_use).await
    }

    /// Removes an artifact, unless one of `in_use` needs it.
    ///
    /// # Cancel safety
    /// Dropping the future may leave parts of it, which go within hours.
    pub async fn remove(
        &self,
        digest: &ArtifactDigest,
        in_use: &[(Artifact, Option<ArtifactDigest>)],
    ) -> Result<(), Error> {
        inventory::remove(&self.store, digest, in_use).await
    }

    /// Returns a bundle made before.
    pub fn bundle(&self, digest: &ArtifactDigest) -> Result<Bundle, Error> {
        bundle::load(&self.store.home.bundle(digest)).ok_or_else(|| Error::NoBundle(digest.clone()))
    }
}
