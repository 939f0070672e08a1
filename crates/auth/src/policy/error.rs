//! Why a document is no policy here.

use innkeep_types::ErrorKind;

/// The first thing that is wrong with a policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at} must {rule}")]
pub struct Error {
    /// Where: `policy.Statement[2].Effect`.
    pub at: String,
    /// What it must do.
    pub rule: String,
}

impl Error {
    pub(crate) fn new(at: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { at: at.into(), rule: rule.into() }
    }

    /// Returns whose fault it is: the caller's.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Validation
    }
}
