//! Where artifacts come from besides uploads, as whoever opens the store says.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where artifacts come from, besides uploads, and what runs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Registries of OCI images, by host and port as references name them.
    pub registries: BTreeMap<String, RegistryOptions>,
    /// A Docker configuration file with credentials for registries.
    pub docker_config: Option<PathBuf>,
    /// The S3-compatible object store behind every bucket that is not the built-in one.
    pub s3: Option<S3Options>,
    /// Programs for words of `runtime` (`PYTHON_3_13`, `NODE_22`), before those that are found.
    pub interpreters: BTreeMap<String, PathBuf>,
}

/// How one registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// User and password; before those of the Docker configuration file.
    pub credentials: Option<(String, Secret)>,
    /// Whether it may be spoken to without TLS. On loopback it may always.
    pub allow_plain_http: bool,
}

/// An S3-compatible object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// Its base URL.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: Secret,
    /// Whether the bucket is the first segment of the path (most self-hosted stores), or part of the host's name.
    pub path_style: bool,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
