//! What the driver is told, and what it says when it cannot work here.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use innkeep_protocol::walls::Base;

use super::cgroup::{self, Missing};
use crate::driver::Unusable;

/// How containers are made on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerOptions {
    /// What root file systems are made of.
    pub base: Base,
    /// Start sandboxes although memory, processor time or processes cannot be limited here.
    pub allow_missing_limits: bool,
    /// Whom agents ask for names; the host's servers if empty.
    pub dns: Vec<IpAddr>,
}

impl Unusable {
    pub(super) fn data_dir(data_dir: &Path, error: &io::Error) -> Self {
        Self {
            why: format!("the data directory {} could not be prepared: {error}", data_dir.display()),
            fix: "choose another with --data-dir".to_owned(),
        }
    }

    pub(super) fn limits(error: &cgroup::Error) -> Self {
        Self {
            why: format!("control groups cannot be used: {}", chain(error)),
            fix: "see what is missing: innkeep doctor".to_owned(),
        }
    }

    pub(super) fn limit(missing: &Missing) -> Self {
        let fix = format!("{}; or do without limits: allow_missing_limits = true", missing.fix);
        Self { why: format!("{} of sandboxes cannot be limited here: {}", missing.what, missing.why), fix }
    }
}

/// Returns an error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
