//! Why an artifact was refused or could not be made ready.

use std::io;
use std::path::PathBuf;

use innkeep_types::{Artifact, ArtifactDigest, ErrorKind};

use crate::{archive, image, project, s3};

/// Why an artifact was refused or could not be made ready. No variant leaves anything of it in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path of the data directory cannot be an item of `PATH`.
    #[error("{0:?} cannot hold artifacts: its path must be UTF-8 and without `:`")]
    DataDir(PathBuf),
    /// Nothing is stored under that name.
    #[error("no artifact {0:?} in the built-in store; upload it with `innkeep deploy`")]
    NotFound(String),
    /// Nothing is kept under that digest.
    #[error("no artifact {0:?} is kept here; `innkeep artifacts ls` shows those that are")]
    NotKept(String),
    /// A version needs it.
    #[error("artifact {digest} is needed by {} versions", used_by.len())]
    InUse {
        /// Which.
        digest: ArtifactDigest,
        /// Who: positions in what was given as in use.
        used_by: Vec<usize>,
    },
    /// A bundle was never made, or was made by an interpreter that is gone.
    #[error("bundle {0} is not ready on this host; deploy its runtime again")]
    NoBundle(ArtifactDigest),
    /// The layer named was not uploaded, or is gone.
    #[error("no layer {0} in the built-in store; deploy the project again")]
    NoLayer(String),
    /// A layer's name is not a fingerprint.
    #[error("{0:?} is no layer fingerprint: 64 lower-case hex digits")]
    Fingerprint(String),
    /// The upload cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// What is in the upload cannot be run.
    #[error(transparent)]
    Project(#[from] project::Error),
    /// The code lies in an object store that cannot be read.
    #[error(
        "bucket {0:?} cannot be read: this server has no object store besides the built-in one, bucket {built_in:?}; name one in \
         [s3] of innkeep.toml with endpoint, access_key_id and secret_access_key (or INNKEEP_S3_ENDPOINT, …) and start the \
         server anew; or upload the code with `innkeep deploy DIR|ZIP`",
        built_in = Artifact::BUILT_IN_BUCKET
    )]
    Bucket(String),
    /// The object store does not give it.
    #[error(transparent)]
    S3(#[from] s3::Error),
    /// The built-in store has no versions of an object.
    #[error("the built-in artifact store keeps no versions: leave out code.s3.versionId {0:?}")]
    ObjectVersion(String),
    /// An image cannot be had, or cannot be run.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// `runtime` is not a word that we know.
    #[error("runtime {0:?} is none of PYTHON_3_10 to PYTHON_3_14, NODE_22 and PROVIDED")]
    Runtime(String),
    /// `entryPoint` does not fit the code.
    #[error("entry point {entry_point:?} {problem}")]
    EntryPoint {
        /// As given.
        entry_point: Vec<String>,
        /// Continues the sentence.
        problem: String,
    },
    /// The host has no interpreter for it.
    #[error("{0}")]
    NoInterpreter(String),
    /// The host has nothing that installs Python packages.
    #[error(
        "the packages of {file} cannot be installed: neither uv nor pip is here; run `apt install python3-pip` \
         or install uv (https://docs.astral.sh/uv), or deploy a project that has its packages in .venv"
    )]
    NoInstaller {
        /// What names the packages.
        file: &'static str,
    },
    /// Installing the project's packages failed.
    #[error("installing the packages of {file} with {tool} failed ({how}); its last lines:\n{tail}")]
    Install {
        /// What names the packages.
        file: &'static str,
        /// `uv` or `pip`.
        tool: &'static str,
        /// How it ended.
        how: String,
        /// The last lines of its output.
        tail: String,
    },
    /// The host failed.
    #[error("cannot {doing}")]
    Io {
        /// What was attempted.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Archive(archive::Error::Io(_)) => ErrorKind::Internal,
            Self::NotKept(_) => ErrorKind::NotFound,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::S3(source) => source.kind(),
            Self::NoBundle(_) => ErrorKind::Unavailable,
            Self::Image(error) => error.problem.kind(),
            _ => ErrorKind::Validation,
        }
    }
}
