//! What is uploaded, and what callers are told of it, of pulls and of what is kept.

use innkeep_types::{ArtifactDigest, UnixMillis};

/// What an upload became; see `protocol::operator::UploadedArtifact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// `code.s3.prefix`.
    pub prefix: String,
    /// `runtime`.
    pub runtime: String,
    /// `entryPoint`.
    pub entry_point: Vec<String>,
    /// One sentence each, for people.
    pub notes: Vec<String>,
}

/// What an uploaded image became; see `protocol::operator::UploadedImage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedImage {
    /// `containerUri`: a reference by digest, which names what was uploaded and never the network.
    pub container_uri: String,
    /// One sentence each, for people.
    pub notes: Vec<String>,
}

/// How far the pull of an image is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The image's layers.
    pub layers: usize,
    /// Those that are here, unpacked.
    pub layers_done: usize,
    /// What its layers have, compressed.
    pub bytes: u64,
    /// What of that is here.
    pub bytes_done: u64,
}

/// One artifact that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// A code artifact's prefix, or the digest of an image's manifest.
    pub digest: ArtifactDigest,
    /// What it is.
    pub kind: StoredKind,
    /// Of an image: by which name it came.
    pub reference: Option<String>,
    /// What it takes on disk; what it shares with others counts for each.
    pub bytes: u64,
    /// Who needs it: positions in what was given as in use.
    pub used_by: Vec<usize>,
    /// When somebody last used it.
    pub used_at: UnixMillis,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// A zip or a project.
    Code,
    /// An OCI image.
    Image,
}

/// What is uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A finished code zip, as the service takes it: dependencies are inside.
    Zip,
    /// A project folder, zipped: dependencies are found and installed here, unless `layer` (a fingerprint) brings them.
    Project {
        /// Fingerprint of a layer uploaded before.
        layer: Option<String>,
    },
}
