//! One sandbox's network, ready to be joined.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::dns;
use super::link::Slot;

/// The names of links that are to go, or are gone.
pub(super) type Leaving = Arc<Mutex<BTreeSet<String>>>;

/// Holds a network namespace until a sandbox is in it, or for as long as the caller likes.
///
/// To drop it closes the descriptor and nothing else: a namespace without a process goes by itself, with its links, and one that a
/// sandbox lives in stays, also past the end of the server.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(super) namespace: File,
    pub(super) slot: Slot,
    pub(super) nameservers: Vec<Ipv4Addr>,
    pub(super) leaving: Leaving,
}

impl Attachment {
    /// Returns the path by which other processes of this user open the namespace, as long as this is held.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd()).into()
    }

    /// Returns the sandbox's `/etc/resolv.conf`.
    pub(crate) fn resolv_conf(&self) -> String {
        dns::resolv_conf(&self.nameservers)
    }

    /// Gives the network up when its sandbox has ended. The kernel removes the links some ten milliseconds later, those of several
    /// at a time; asked for one at once, it keeps every other network waiting (measured: 4 times the total time of 100 short
    /// lives). [`super::public::PublicNetwork::shutdown`] waits for them.
    pub(crate) fn release(self) {
        self.leaving.lock().insert(self.slot.name());
    }
}
