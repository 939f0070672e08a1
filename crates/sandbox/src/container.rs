//! The `container` driver: not in this build.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use innkeep_protocol::walls::Base;
use innkeep_types::Tier;

use crate::driver::{Adopted, Capabilities, Driver, Error, LaunchSpec, Sandbox};

/// [`Finding::what`] of whether agents can reach the public network.
pub const PUBLIC_NETWORK: &str = "public network";

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

/// Why the driver cannot be used on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unusable {
    /// What is missing.
    pub why: String,
    /// What closes the gap.
    pub fix: String,
}

/// One thing that this host can or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub what: &'static str,
    /// Whether it is there.
    pub state: FindingState,
    /// What was seen.
    pub detail: String,
    /// What closes the gap, if there is one.
    pub fix: Option<String>,
}

/// Whether the host can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingState {
    /// It can.
    Good,
    /// It can, with something weaker about it.
    Weak,
    /// It cannot.
    Missing,
}

/// Makes sandboxes of kernel namespaces.
#[derive(Debug)]
pub struct ContainerDriver;

impl ContainerDriver {
    /// Prepares `data_dir`, and starts and ends a sandbox to see whether it works here.
    pub async fn new(_data_dir: &Path, _options: ContainerOptions) -> Result<Self, Unusable> {
        Err(unusable())
    }
}

/// Looks at everything on this host that the driver needs.
pub async fn examine(_data_dir: &Path, _options: &ContainerOptions) -> Vec<Finding> {
    let Unusable { why, fix } = unusable();
    vec![Finding { what: "sandbox", state: FindingState::Missing, detail: why, fix: Some(fix) }]
}

fn unusable() -> Unusable {
    Unusable {
        why: "this build of Innkeep has no container driver".to_owned(),
        fix: "use a build that has one".to_owned(),
    }
}

#[async_trait]
impl Driver for ContainerDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities { tier: Tier::Container, unusable: Some(unusable().why), caveats: Vec::new() }
    }

    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        Err(Error::Launcher { sandbox: spec.sandbox, message: unusable().why })
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        Ok(Adopted::default())
    }
}
