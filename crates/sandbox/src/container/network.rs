//! Networks of sandboxes: what `public` means, as root and as an ordinary user. `none` needs nothing from here.
//!
//! As root ([`public::PublicNetwork`]) the server makes a network namespace before the launch and connects it to the host by a pair
//! of links. Two walls stand between an agent and what is not the public internet: unreachable routes inside ([`link`]), which
//! the sandbox cannot change because the namespace is not its own, and packet filter rules on the host ([`wall`]). There is no
//! IPv6. As an ordinary user ([`pasta::Pasta`]) a helper program carries the packets, and the routes are the only wall.
//!
//! Knows no session and no setting; what it is given are nameservers and sandbox ids.

pub(crate) mod attachment;
mod dns;
mod link;
mod namespace;
mod netlink;
pub(crate) mod pasta;
mod program;
pub(crate) mod public;
#[cfg(test)]
mod tests;
mod wall;

use std::io;
use std::net::Ipv4Addr;

use innkeep_types::SandboxId;

/// A range of IPv4 addresses: the first, and how many bits of it count.
type Range = (Ipv4Addr, u8);

/// What `public` does not reach. Multicast and the reserved block end the list, so that everything after is one comparison for
/// the kernel. Source: IANA IPv4 special-purpose address registry, less the documentation blocks, which lead nowhere.
const REFUSED: [Range; 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier-grade NAT; the metadata service of one cloud (100.100.100.200) is in it.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // The host's side channel on Azure, the one metadata address that looks public.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Link-local; the metadata service of most clouds (169.254.169.254) is in it.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Protocol assignments; the metadata service of one cloud (192.0.0.192) is in it.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks of network equipment, used as one more private range.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Why a sandbox got no network. No variant leaves anything behind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The packet filter could not be set, so no sandbox may be connected.
    #[error("could not {what} for the networks of sandboxes")]
    Wall {
        /// What was attempted, `load the packet filter`.
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The kernel refused a part of one network.
    #[error("could not {what} for the network of sandbox {sandbox}")]
    Kernel {
        sandbox: SandboxId,
        /// What was attempted, `make the links`.
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// Every address pair is taken.
    #[error("all {} networks of this host are taken", link::SLOTS)]
    Full,
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// Writes a range as `10.0.0.0/8`.
fn written((first, bits): Range) -> String {
    format!("{first}/{bits}")
}
