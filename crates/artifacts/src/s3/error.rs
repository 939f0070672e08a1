//! Why an object was not fetched.

use std::io;
use std::time::Duration;

use innkeep_types::ErrorKind;
use innkeep_types::limits::MAX_ZIP_BYTES;

/// Why an object was not fetched. `what`: `s3://BUCKET/KEY at ENDPOINT`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings name no place.
    #[error("s3.endpoint {endpoint:?} cannot be used: {problem}; it must be a URL such as https://s3.example.com")]
    Endpoint {
        /// As set.
        endpoint: String,
        /// Why not.
        problem: String,
    },
    /// The key cannot be part of a URL.
    #[error("{what} cannot be asked for: no URL has `.` or `..` between slashes; give the zip another key")]
    Key {
        /// Which object, where.
        what: String,
    },
    /// The store answered, and with no object.
    #[error("{what} cannot be read: {refusal}")]
    Refused {
        /// Which object, where.
        what: String,
        /// Status, code, and what to do.
        refusal: String,
        /// Whether it may be another answer later.
        may_pass: bool,
    },
    /// There was no answer, or not all of it.
    #[error("{what} cannot be read; see that the store runs, and that endpoint in [s3] is its URL")]
    NoAnswer {
        /// Which object, where.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether it may go better later.
        may_pass: bool,
    },
    /// It is larger than what the contract takes.
    #[error(
        "{what} has more than {MAX_ZIP_BYTES} bytes, and a code zip may not; leave out what the agent does not need"
    )]
    TooLarge {
        /// Which object, where.
        what: String,
    },
    /// It came too slowly.
    #[error("{what} did not arrive within {} s; see that the way to the store is not too slow", limit.as_secs())]
    Late {
        /// Which object, where.
        what: String,
        /// How long it had.
        limit: Duration,
    },
    /// The host could not write it down.
    #[error("cannot keep {what}")]
    Io {
        /// Which object, where.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Returns whose fault it is. A store that does not answer is for who named it: the words say what to do, and those of faults of ours
    /// would not be shown.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Internal,
            _ => ErrorKind::Validation,
        }
    }

    /// Tells whether the same request may fare better a little later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused { may_pass, .. } | Self::NoAnswer { may_pass, .. } => *may_pass,
            _ => false,
        }
    }
}
