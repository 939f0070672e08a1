//! The documents that describe an image: index, manifest, descriptors. Source: OCI image specification 1.1, and Docker's image
//! manifest version 2, schema 2, which has the same shape.

use innkeep_types::ArtifactDigest;
use innkeep_types::limits::{MAX_IMAGE_BYTES, MAX_IMAGE_LAYERS};
use serde::{Deserialize, Serialize};

use crate::image::Problem;
use crate::image::reference::parse_digest;

/// The media types of what we ask registries for.
pub(crate) const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Names a piece of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(with = "spelled")]
    pub(crate) digest: ArtifactDigest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing)]
    pub(crate) urls: Vec<String>,
    #[serde(default, skip_serializing)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) config: Descriptor,
    /// The lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// What a manifest's digest may name.
#[derive(Debug)]
pub(crate) enum Document {
    /// One image.
    Manifest(Manifest),
    /// The same image for several platforms.
    Index(Vec<Descriptor>),
}

impl Document {
    /// Reads index or manifest.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Problem> {
        /// Either, before it is known which.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Either {
            #[serde(default)]
            schema_version: u32,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
            manifests: Option<Vec<Descriptor>>,
        }
        let either: Either = serde_json::from_slice(json).map_err(Problem::Manifest)?;
        match either {
            Either { schema_version: 1, .. } => Err(Problem::Schema1),
            Either { manifests: Some(manifests), config: None, layers: None, .. } => Ok(Self::Index(manifests)),
            Either { schema_version, config: Some(config), layers: Some(layers), manifests: None } => {
                Manifest { schema_version, config, layers }.checked().map(Self::Manifest)
            }
            // Both at once is how one document is made to mean two things; source: CVE-2021-41190.
            _ => Err(Problem::NoImage),
        }
    }
}

impl Manifest {
    /// Refuses what cannot be pulled as a whole, or is no image.
    fn checked(self) -> Result<Self, Problem> {
        if !CONFIG_TYPES.contains(&self.config.media_type.as_str()) {
            return Err(Problem::NoImage);
        }
        if self.layers.len() > MAX_IMAGE_LAYERS {
            return Err(Problem::TooManyLayers(self.layers.len()));
        }
        for layer in &self.layers {
            let media_type = layer.media_type.as_str();
            if !layer.urls.is_empty() || media_type.contains("nondistributable") || media_type.contains("foreign") {
                return Err(Problem::ForeignLayer);
            }
            if !LAYER_TYPES.contains(&media_type) {
                return Err(Problem::LayerType(media_type.chars().take(200).collect()));
            }
        }
        let bytes = self.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        if bytes > MAX_IMAGE_BYTES { Err(Problem::TooLarge(bytes)) } else { Ok(self) }
    }
}

const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Which of them a layer says it is does not matter: its first bytes tell.
const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Returns the image among `manifests` that this host runs.
pub(crate) fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, Problem> {
    let fitting = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(Platform::fits);
    // An index of one need not say for what; its configuration does.
    let only = || match manifests {
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    };
    manifests.iter().find(fitting).or_else(only).ok_or_else(|| {
        let has = manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref());
        // Attestations are listed as images for an unknown system.
        let has = has.filter(|platform| platform.os != "unknown").map(Platform::to_string).collect();
        Problem::Platform { has }
    })
}

impl Platform {
    /// Tells whether this host runs it.
    pub(crate) fn fits(&self) -> bool {
        // A higher variant of amd64 (`v3`) may need instructions that the host has not.
        let is_plain = matches!(self.variant.as_deref(), None | Some("" | "v8" | "v1"));
        self.os == "linux" && self.architecture == host_architecture() && is_plain
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}

/// Returns this host's architecture as images call it.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A digest as JSON has it, `sha256:…`.
mod spelled {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{ArtifactDigest, parse_digest};

    pub(super) fn serialize<S: Serializer>(digest: &ArtifactDigest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("sha256:{digest}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ArtifactDigest, D::Error> {
        let text = String::deserialize(from)?;
        parse_digest(&text).ok_or_else(|| D::Error::custom("a digest is not sha256 and 64 lower-case hex digits"))
    }
}
