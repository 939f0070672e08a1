//! What is kept of an image besides its layers: all that a bundle is made from, so that one that is here needs no registry.

use std::fs;

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};

use crate::home::{Home, touch};
use crate::image::config::Process;
use crate::image::manifest::host_architecture;

/// What the digest of a manifest names here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Record {
    /// One image.
    Image(Image),
    /// The same image for several platforms: the one for this host's.
    Index {
        /// Of which.
        architecture: String,
        /// Its manifest.
        manifest: ArtifactDigest,
    },
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// By which name it came.
    pub(crate) reference: String,
    /// The diff ids of its layers, the lowest first.
    pub(crate) layers: Vec<ArtifactDigest>,
    pub(crate) process: Process,
}

impl Record {
    /// Returns the diff ids of its own layers.
    pub(crate) fn into_layers(self) -> Vec<ArtifactDigest> {
        match self {
            Self::Image(image) => image.layers,
            Self::Index { .. } => Vec::new(),
        }
    }

    /// Keeps it durably.
    pub(crate) fn write(&self, home: &Home, digest: &ArtifactDigest) -> std::io::Result<()> {
        home.write(&home.image(digest), &serde_json::to_vec(self)?)
    }

    /// Returns what `digest` names, if it is here.
    pub(crate) fn load(home: &Home, digest: &ArtifactDigest) -> Option<Self> {
        serde_json::from_slice(&fs::read(home.image(digest)).ok()?).ok()
    }

    /// Returns the image that `digest` names on this host, and the digest of its own manifest.
    pub(crate) fn find(home: &Home, digest: &ArtifactDigest) -> Option<(ArtifactDigest, Image)> {
        Self::find_by(|digest| Self::load(home, digest), digest)
    }

    /// The same for one who goes on to use it.
    pub(crate) fn take_up(home: &Home, digest: &ArtifactDigest) -> Option<(ArtifactDigest, Image)> {
        let load = |digest: &ArtifactDigest| {
            // Before it is looked for: what is touched now is not removed any more.
            touch(&home.image(digest));
            Self::load(home, digest)
        };
        Self::find_by(load, digest)
    }

    fn find_by(
        load: impl Fn(&ArtifactDigest) -> Option<Self>,
        digest: &ArtifactDigest,
    ) -> Option<(ArtifactDigest, Image)> {
        match load(digest)? {
            Self::Image(image) => Some((digest.clone(), image)),
            Self::Index { architecture, manifest } if architecture == host_architecture() => match load(&manifest)? {
                Self::Image(image) => Some((manifest, image)),
                Self::Index { .. } => None,
            },
            Self::Index { .. } => None,
        }
    }
}
