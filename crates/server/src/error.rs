//! Why a server does not start, with what to do about it where that is known.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use innkeep_sandbox::driver::Unusable;

use crate::config::Error as ConfigError;
use crate::data_dir::Error as DataDirError;
use crate::keys;
use crate::tls::Error as TlsError;

/// Why a server could not start. Whatever had been started is taken down again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict themselves.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address cannot be listened on.
    #[error("could not listen on {addr}; is another program using it? Try --listen 127.0.0.1:0")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to show.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be opened.
    #[error("could not open the store")]
    Store(#[from] innkeep_store::Error),
    /// The artifact store cannot be opened.
    #[error("could not open the artifact store")]
    Artifacts(#[from] innkeep_artifacts::Error),
    /// Nothing on this host isolates, and nobody said that it need not.
    #[error("sessions cannot be isolated on this host: {}", .0.why)]
    NoIsolation(Unusable),
    /// Containers were asked for by name.
    #[error("containers cannot be made on this host: {}", .0.why)]
    NoContainers(Unusable),
    /// `audit_file` cannot be appended to.
    #[error(
        "audit_file is {path}, which cannot be appended to; name a file in a directory that this user may write to"
    )]
    AuditFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is kept of invocations cannot be read.
    #[error("could not take over the invocations whose callers do not wait")]
    Invocations(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The driver cannot work on this host.
    #[error("sandboxes cannot be made here: {0}")]
    Driver(String),
}

impl From<keys::LoadError> for Error {
    fn from(error: keys::LoadError) -> Self {
        match error {
            keys::LoadError::Store(source) => source.into(),
            keys::LoadError::DataDir(source) => source.into(),
        }
    }
}

impl Error {
    /// Returns what to do about it, where that is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NoIsolation(Unusable { fix, .. }) => Some(format!(
                "{fix} (`innkeep doctor` shows all that this host lacks); or, if it is acceptable that agents run as ordinary \
                 processes of this host, able to read what this user can read, say so: --isolation process"
            )),
            Self::NoContainers(Unusable { fix, .. }) => {
                Some(format!("{fix} (`innkeep doctor` shows all that this host lacks)"))
            }
            Self::Tls(error) => error.fix(),
            _ => None,
        }
    }
}
