//! What containers of a server before this one left outside of their directories, for a server that makes none: control groups, links
//! and the packet filter, network helpers. Makes nothing.

use std::path::{Path, PathBuf};

use innkeep_types::SandboxId;
use tokio::sync::OnceCell;

use super::cgroup::Cgroups;
use super::egress::Networks;
use super::zygotes;

/// What containers of one data directory left.
#[derive(Debug)]
pub(crate) struct Leftovers {
    cgroups: Cgroups,
    data_dir: PathBuf,
    /// Looked for once there is a container to clear away: that removes the packet filter already, if no link needs it.
    networks: OnceCell<Networks>,
}

impl Leftovers {
    /// Looks where control groups are; changes nothing.
    pub(crate) fn find(data_dir: &Path) -> Self {
        Self { cgroups: Cgroups::find(data_dir), data_dir: data_dir.to_owned(), networks: OnceCell::new() }
    }

    /// Returns the containers that have a control group, and the zygotes.
    pub(crate) fn found(&self) -> Vec<SandboxId> {
        self.cgroups.found().into_iter().chain(zygotes::found(&self.data_dir)).collect()
    }

    /// Leaves nothing of a container that has ended.
    pub(crate) async fn clear(&self, sandbox: &SandboxId, directory: &Path) {
        self.cgroups.open(sandbox).remove().await;
        // One that has no control group ends when its directory is gone, and its sessions have.
        zygotes::remove(&self.data_dir, sandbox).await;
        let found = || async { tokio::task::spawn_blocking(|| Networks::find(&[])).await };
        // An error is the runtime's own end.
        if let Ok(networks) = self.networks.get_or_try_init(found).await {
            networks.close(sandbox, directory).await;
        }
    }

    /// Takes down what all containers shared.
    pub(crate) async fn close(&self) {
        if let Some(networks) = self.networks.get() {
            networks.shutdown().await;
        }
    }
}
