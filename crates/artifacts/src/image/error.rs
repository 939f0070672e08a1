//! Why an image was refused or could not be made ready.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use innkeep_types::limits::{IMAGE_PULL_TIMEOUT, MAX_IMAGE_BYTES, MAX_IMAGE_LAYERS};
use innkeep_types::{ArtifactDigest, ErrorKind};

use crate::image::manifest::host_architecture;
use crate::image::{config, unpack, user};

/// Why an image was refused or could not be made ready.
#[derive(Debug)]
pub struct Error {
    /// As it was referred to.
    pub image: String,
    /// Continues the sentence.
    pub problem: Problem,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {} {}", self.image, self.problem)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.problem.source()
    }
}

/// What is wrong with an image; continues a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Problem {
    #[error("{0}; images are named [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]")]
    Reference(&'static str),
    #[error(
        "is not in the built-in store; upload it with `innkeep deploy ARCHIVE.tar`, and use the reference returned"
    )]
    NotUploaded,
    #[error("could not be pulled: {registry} could not be asked for {what}")]
    Unreachable { registry: String, what: String, source: Box<dyn StdError + Send + Sync> },
    #[error(
        "could not be pulled: {registry} refuses it {tried}; if it is there, log in: username and password below \
         [registries.\"{registry}\"] in innkeep.toml, or `docker login {registry}` as the server's user"
    )]
    Denied { registry: String, tried: String },
    #[error("could not be pulled: {registry} does not have {what}; check name and tag")]
    Missing { registry: String, what: String },
    #[error("could not be pulled: {registry} says that too much was asked of it; try again later, or log in")]
    Throttled { registry: String },
    #[error("could not be pulled: asked for {what}, {registry} answered {status}{message}")]
    Answer { registry: String, what: String, status: u16, message: String },
    #[error("could not be pulled: {registry} sends {what} on to {to}, {problem}")]
    Redirect { registry: String, what: String, to: String, problem: &'static str },
    #[error(
        "could not be pulled: {registry} speaks http without TLS; give it a certificate, or allow_plain_http = true \
         below [registries.\"{registry}\"] in innkeep.toml"
    )]
    PlainHttp { registry: String },
    #[error("could not be pulled within {} s", IMAGE_PULL_TIMEOUT.as_secs())]
    Late,
    #[error("could not be pulled: the credentials for {registry} could not be had from {place}: {problem}")]
    Credentials { registry: String, place: String, problem: String },
    #[error("is damaged: {what} should have digest sha256:{expected} and has sha256:{found}")]
    Digest { what: String, expected: ArtifactDigest, found: ArtifactDigest },
    #[error("is damaged: {what} should have {expected} bytes and has {found}")]
    Size { what: String, expected: u64, found: u64 },
    #[error("does not run on linux/{}: it is for {}", host_architecture(), list(has))]
    Platform { has: Vec<String> },
    #[error("has a manifest that cannot be read")]
    Manifest(#[source] serde_json::Error),
    #[error("has a configuration that cannot be read")]
    Config(#[source] serde_json::Error),
    #[error("is no image that runs, but some other artifact of a registry")]
    NoImage,
    #[error("is in the old format, schema 1; push it again with a Docker of this decade")]
    Schema1,
    #[error("has a layer that the registry does not hold (a foreign, or non-distributable, one)")]
    ForeignLayer,
    #[error("has a layer of the type {0:?}; tar, tar+gzip and tar+zstd are taken")]
    LayerType(String),
    #[error("has {0} bytes; at most {MAX_IMAGE_BYTES} are taken")]
    TooLarge(u64),
    #[error("has {0} layers; at most {MAX_IMAGE_LAYERS} are taken")]
    TooManyLayers(usize),
    #[error("has {layers} layers, but its configuration lists {diff_ids}")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error("has neither an entry point nor a command; say in its Dockerfile what runs (ENTRYPOINT or CMD)")]
    NoCommand,
    #[error("is to run as {user:?}, but {what:?} has no id from 0 to {max} in its {file}, and is none", max = user::MAX_ID)]
    Unknown { user: String, what: String, file: &'static str },
    #[error("has a {path} that is closed, itself or a directory above it, to a server of an ordinary user")]
    Closed { path: String },
    #[error("has {0} bytes of ENV, ENTRYPOINT and CMD together; at most {max} are taken", max = config::MAX_PROCESS_BYTES)]
    ProcessTooLarge(usize),
    #[error("cannot be unpacked")]
    Layer(#[from] unpack::Error),
    #[error("cannot be taken from the archive: {0}")]
    Archive(String),
    #[error("needs {path}, which cannot be read")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot be made ready")]
    Io(#[from] io::Error),
}

impl Problem {
    /// Returns whose fault it is. What a registry does wrong is told to who named it: he can mend it, or name another.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(_) | Self::File { .. } | Self::Layer(unpack::Error::Io(_)) => ErrorKind::Internal,
            _ => ErrorKind::Validation,
        }
    }
}

fn list(platforms: &[String]) -> String {
    match platforms {
        [] => "no platform that it names".to_owned(),
        some => some.join(", "),
    }
}
