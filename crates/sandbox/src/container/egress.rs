//! Which way sandboxes of this host reach the public network, if there is one, and the networks that they have.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use innkeep_protocol::walls::Network;
use innkeep_types::SandboxId;
use parking_lot::Mutex;
use tracing::{error, warn};

use super::network;
use super::network::attachment::Attachment;
use super::network::pasta::Pasta;
use super::network::public::PublicNetwork;
use crate::driver::Unusable;

/// Where programs of the system are.
const PROGRAMS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"];

/// The networks of all sandboxes.
#[derive(Debug)]
pub(super) struct Networks {
    way: Way,
    /// Of sandboxes that this server started.
    open: Mutex<HashMap<SandboxId, Attachment>>,
}

#[derive(Debug)]
enum Way {
    Links(PublicNetwork),
    Program(Pasta),
    Nowhere(Unusable),
}

/// Why a sandbox got no network.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the public network is not to be had on this host: {}", .0.why)]
    Nowhere(Unusable),
    #[error(transparent)]
    Links(#[from] network::Error),
    #[error("pasta cannot be used")]
    Program(#[from] std::io::Error),
}

impl Networks {
    /// Looks for a way. Blocks for some ten milliseconds.
    pub(super) fn find(dns: &[IpAddr]) -> Self {
        let way = if rustix::process::geteuid().is_root() {
            PublicNetwork::new(dns).map_or_else(Way::Nowhere, Way::Links)
        } else {
            Pasta::find(&PROGRAMS.map(PathBuf::from), dns).map_or_else(Way::Nowhere, Way::Program)
        };
        Self { way, open: Mutex::default() }
    }

    /// Returns which way it is, or why there is none.
    pub(super) fn way(&self) -> Result<&'static str, &Unusable> {
        match &self.way {
            Way::Links(_) => Ok("links and a packet filter"),
            Way::Program(_) => Ok("pasta"),
            Way::Nowhere(unavailable) => Err(unavailable),
        }
    }

    /// Returns what is weaker than it may seem, one sentence each.
    pub(super) fn caveats(&self) -> Vec<String> {
        match &self.way {
            Way::Links(network) => network.caveats().to_vec(),
            Way::Program(pasta) => pasta.caveats(),
            Way::Nowhere(Unusable { why, fix }) => {
                vec![format!("Runtimes with egress `public` cannot start: {why}; {fix}.")]
            }
        }
    }

    /// Makes the network of a sandbox, in a namespace that is there already if one is given. Also returns its `/etc/resolv.conf`.
    pub(super) async fn open(
        &self,
        sandbox: &SandboxId,
        directory: &Path,
        namespace: Option<File>,
    ) -> Result<(Network, String), Error> {
        match &self.way {
            Way::Links(network) => {
                let attachment = network.open(sandbox, namespace).await?;
                let (path, resolv_conf) = (attachment.path(), attachment.resolv_conf());
                self.open.lock().insert(sandbox.clone(), attachment);
                Ok((Network::Join(path), resolv_conf))
            }
            Way::Program(pasta) => Ok(pasta.plan(directory)?),
            Way::Nowhere(unavailable) => Err(Error::Nowhere(unavailable.clone())),
        }
    }

    /// Takes note of a living sandbox of a server before this one.
    pub(super) fn adopted(&self, sandbox: &SandboxId) {
        let Way::Links(network) = &self.way else { return };
        if let Err(error) = network.adopted(sandbox) {
            error!(sandbox.id = %sandbox, error = ?error, "sandbox {sandbox} from before has no packet filter: {error}");
        }
    }

    /// Leaves nothing of a sandbox's network.
    pub(super) async fn close(&self, sandbox: &SandboxId, directory: &Path) {
        let attachment = self.open.lock().remove(sandbox);
        match (attachment, &self.way) {
            (Some(attachment), _) => attachment.release(),
            (None, Way::Links(network)) => network.release_older(sandbox),
            (None, Way::Program(_)) => {
                if let Err(error) = Pasta::end(directory).await {
                    warn!(sandbox.id = %sandbox, "the network of sandbox {sandbox} could not be taken down: {error}");
                }
            }
            (None, Way::Nowhere(_)) => {}
        }
    }

    /// Takes down what all of them share, once nothing needs it.
    pub(super) async fn shutdown(&self) {
        if let Way::Links(network) = &self.way {
            network.shutdown().await;
        }
    }
}
