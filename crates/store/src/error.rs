//! Why the store refused or failed, and whose fault that is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::{
    CapacityProviderId, CapacityProviderName, EndpointName, ErrorKind, RuntimeId, RuntimeName, RuntimeStatus,
    RuntimeVersion,
};
use rusqlite::ErrorCode;

use crate::{seal, secret_key};

/// Why the store refused or failed. Nothing was changed. `Clone`, because a group of writes that commits together fails
/// together.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another runtime has the name.
    #[error("an agent runtime named {0} already exists")]
    NameTaken(RuntimeName),
    /// A version is being made, or something is being deleted.
    #[error("agent runtime {0} has a change in progress: wait until it is READY or has failed")]
    InProgress(RuntimeId),
    /// The version is not being made (any more), so its making cannot end.
    #[error("version {1} of agent runtime {0} is not being made")]
    NotInProgress(RuntimeId, RuntimeVersion),
    /// No such runtime.
    #[error("agent runtime {0} does not exist")]
    NoRuntime(RuntimeId),
    /// No such version.
    #[error("version {1} of agent runtime {0} does not exist")]
    NoVersion(RuntimeId, RuntimeVersion),
    /// A runtime without a version cannot be.
    #[error("version {1} is the only one of agent runtime {0}: delete the agent runtime instead")]
    OnlyVersion(RuntimeId, RuntimeVersion),
    /// Requests are sent to the version.
    #[error("version {1} of agent runtime {0} is served by its endpoint {2}: {way_out} first", way_out = way_out(.2))]
    Served(RuntimeId, RuntimeVersion, EndpointName),
    /// Requests are to be sent to the version, or were.
    #[error(
        "version {1} of agent runtime {0} is what its endpoint {2} is to serve: move the endpoint to another version first"
    )]
    Targeted(RuntimeId, RuntimeVersion, EndpointName),
    /// No endpoint can serve the version, or not yet.
    #[error(
        "version {1} of agent runtime {0} is {status} and cannot be served: name a version that is READY",
        status = .2.as_str()
    )]
    NotServable(RuntimeId, RuntimeVersion, RuntimeStatus),
    /// There is nothing to go back to.
    #[error("agent runtime {0} has no READY version before the one that its endpoint {1} serves")]
    NothingBefore(RuntimeId, EndpointName),
    /// Several versions serve: which one is to serve alone, the caller must say.
    #[error("endpoint {1} of agent runtime {0} is split among versions: name the one that is to serve alone")]
    SplitEndpoint(RuntimeId, EndpointName),
    /// No such endpoint.
    #[error("endpoint {1} of agent runtime {0} does not exist")]
    NoEndpoint(RuntimeId, EndpointName),
    /// The runtime has an endpoint of that name.
    #[error("endpoint {1} of agent runtime {0} already exists")]
    EndpointTaken(RuntimeId, EndpointName),
    /// The endpoint is being created, moved or deleted.
    #[error("endpoint {1} of agent runtime {0} is {status}: wait until that has ended", status = .2.as_str())]
    EndpointInProgress(RuntimeId, EndpointName, RuntimeStatus),
    /// `DEFAULT` is nobody's to change.
    #[error(
        "endpoint DEFAULT follows the newest READY version of its agent runtime; it cannot be created, moved, split or deleted. To go \
         back to an older version, `innkeep rollback {0} VERSION` publishes a copy of it"
    )]
    DefaultEndpoint(RuntimeName),
    /// A split in which no version has a weight.
    #[error("endpoint {1} of agent runtime {0} must be served by a version: give one a weight above 0")]
    NothingServes(RuntimeId, EndpointName),
    /// No such capacity provider.
    #[error("capacity provider {0} does not exist")]
    NoCapacityProvider(CapacityProviderId),
    /// Another capacity provider has the name.
    #[error("a capacity provider named {0} already exists")]
    CapacityProviderTaken(CapacityProviderName),
    /// The token was used with other parameters.
    #[error("client token was used before with other parameters: send another token")]
    TokenMismatch,
    /// There may not be more; the configuration's setting that says so in parentheses, where one does.
    #[error("quota of {0} is used up")]
    Quota(&'static str),
    /// The sealing key cannot be had, or is another one.
    #[error(transparent)]
    Key(#[from] secret_key::Error),
    /// The database was written by a newer program.
    #[error(
        "database {} has schema version {found}, this innkeep knows versions up to {known}: run the newer innkeep again, or \
         restore the backup that was made before it ran",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// SQLite failed.
    #[error("database {} failed: {advice}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it means and what to do.
        advice: &'static str,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A sealed value was changed, or moved to another row, by something else than the store.
    #[error("database {} was tampered with or is damaged: restore it from a backup", path.display())]
    Sealed {
        /// The database.
        path: PathBuf,
        /// Which value.
        #[source]
        source: seal::Error,
    },
    /// The writer could not be started.
    #[error("cannot start the thread that writes database {}", path.display())]
    Thread {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// [`Store::close`](crate::Store::close) was called, or the writer died of a defect.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NameTaken(_)
            | Self::InProgress(_)
            | Self::NotInProgress(..)
            | Self::OnlyVersion(..)
            | Self::Served(..)
            | Self::Targeted(..)
            | Self::NotServable(..)
            | Self::EndpointTaken(..)
            | Self::EndpointInProgress(..)
            | Self::DefaultEndpoint(_)
            | Self::SplitEndpoint(..)
            | Self::CapacityProviderTaken(_) => ErrorKind::Conflict,
            Self::NoRuntime(_)
            | Self::NoVersion(..)
            | Self::NothingBefore(..)
            | Self::NoEndpoint(..)
            | Self::NoCapacityProvider(_) => ErrorKind::NotFound,
            Self::TokenMismatch | Self::NothingServes(..) => ErrorKind::Validation,
            Self::Quota(_) => ErrorKind::Quota,
            Self::Closed => ErrorKind::Unavailable,
            Self::Key(_) | Self::Newer { .. } | Self::Database { .. } | Self::Sealed { .. } | Self::Thread { .. } => {
                ErrorKind::Internal
            }
        }
    }
}

/// What goes wrong where the database's path is not known.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(Error),
    Sqlite(rusqlite::Error),
    Sealed(seal::Error),
}

impl Fault {
    /// Returns the public error, for the database at `path`.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(source) => {
                Error::Database { path: path.to_owned(), advice: advice(&source), source: Arc::new(source) }
            }
            Self::Sealed(source) => Error::Sealed { path: path.to_owned(), source },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<seal::Error> for Fault {
    fn from(error: seal::Error) -> Self {
        Self::Sealed(error)
    }
}

/// Returns how an endpoint is made to serve something else.
fn way_out(endpoint: &EndpointName) -> &'static str {
    if endpoint.is_default() { "deploy or roll back" } else { "move or delete the endpoint" }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full; free some space and try again",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "it cannot be written; check that its directory exists, who owns both, and that the file system is not read-only"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "it is damaged or no database; restore it from a backup, or move it away to begin with an empty one"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps it locked; end that program"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk does not work; see the kernel's log",
        Some(_) => "this is a defect of innkeep",
        None => "a row cannot be read; it was written by another program or is damaged",
    }
}
