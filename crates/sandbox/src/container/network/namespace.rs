//! A fresh network namespace, held by a descriptor: the kernel removes it, and the links in it, with its last holder.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::Netlink;
use crate::sys;

/// IPv6 of links that are yet to be made, in the namespace of the thread that writes. Loopback keeps its `::1`.
const LATER_LINKS_IPV6: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// A namespace, and a way to configure it from any thread.
#[derive(Debug)]
pub(super) struct Namespace {
    pub file: File,
    pub netlink: Netlink,
}

impl Namespace {
    /// Makes one, without IPv6 on the links to come. Blocks.
    ///
    /// The thread that makes it ends here: it is in the namespace for good, and must not be taken for one of the host's.
    pub(super) fn new() -> io::Result<Self> {
        Self::entered(sys::enter_new_network)
    }

    /// Makes the same of a new one that somebody else has made, and owns. Blocks.
    pub(super) fn of(namespace: File) -> io::Result<Self> {
        let kind = Some(LinkNameSpaceType::Network);
        Self::entered(move || Ok(move_into_link_name_space(namespace.as_fd(), kind)?))
    }

    fn entered(enter: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let maker = thread::Builder::new().name("new network".into()).spawn(|| {
            enter()?;
            disable_ipv6(LATER_LINKS_IPV6)?;
            Ok(Self { file: File::open("/proc/thread-self/ns/net")?, netlink: Netlink::open()? })
        })?;
        maker.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }
}

/// Switches IPv6 off for the links that `sysctl` is about.
pub(super) fn disable_ipv6(sysctl: &str) -> io::Result<()> {
    match fs::write(sysctl, "1") {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
