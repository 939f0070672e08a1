//! The pair of links of one sandbox: names, addresses and routes, as requests to the kernel. Does nothing itself.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use innkeep_types::SandboxId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Request;
use super::{REFUSED, Range};

/// How many sandboxes of one host have a network at a time. Source: our choice; a namespace takes about 100 KiB of kernel memory.
pub(super) const SLOTS: u16 = 4096;

/// The addresses of all sandboxes, two to each: [`SLOTS`] pairs. A private block, because the host's own networks must not
/// contain it, away from the ends of 10/8 and from what container engines choose. Source: our choice.
pub(super) const BLOCK: Range = (Ipv4Addr::new(10, 223, 0, 0), 19);

/// What the names of our links begin with, on the host.
pub(super) const PREFIX: &str = "ik-";

/// The link that a sandbox sees.
const INSIDE: &str = "eth0";

/// Loopback's index, which is the first in every namespace.
const LOOPBACK: u32 = 1;

/// Links are given their numbers, so that they can be spoken of before the kernel has answered. The two ends must differ: the
/// kernel takes equal ones for a link without a peer, and activates it up to a second late. "IK" and the slot.
const HOST_INDEX: u32 = 0x494b_0000;
const INSIDE_INDEX: u32 = HOST_INDEX + 0x1000;

/// One of [`SLOTS`] pairs of addresses. The name of the host's link is the lock on it, for all servers on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

impl Slot {
    /// Returns the slot that comes `turn`th, round and round.
    pub(super) fn nth(turn: u16) -> Self {
        Self(turn % SLOTS)
    }

    /// Returns the name of the host's end.
    pub(super) fn name(self) -> String {
        format!("{PREFIX}{:03x}", self.0)
    }

    /// Returns the host's address of the pair.
    pub(super) fn host(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(BLOCK.0.to_bits() + 2 * u32::from(self.0))
    }

    /// Returns the sandbox's address of the pair.
    pub(super) fn inside(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.host().to_bits() + 1)
    }

    /// Makes the pair, one end on the host and one in `namespace`: to move an end there later waits for all processors.
    pub(super) fn create(self, namespace: BorrowedFd<'_>) -> Vec<Request> {
        let mut peer = link(INSIDE_INDEX);
        peer.attributes = vec![
            LinkAttribute::IfName(INSIDE.into()),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut pair = link(self.index());
        pair.attributes = vec![
            LinkAttribute::IfName(self.name()),
            // Without this there is one queue for each processor, and each takes files in sysfs.
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        vec![new(RouteNetlinkMessage::NewLink(pair))]
    }

    /// Readies the host's end, and calls it after its sandbox for those who list links, such as a later server.
    pub(super) fn ready_host(self, sandbox: &SandboxId) -> Vec<Request> {
        let mut alias = link(self.index());
        alias.attributes = vec![LinkAttribute::IfAlias(alias_of(sandbox))];
        vec![address(self.index(), self.host()), set(alias), up(self.index())]
    }

    /// Readies the sandbox's end: loopback, address, routes. `nameservers` are reached although they may be in a refused range.
    pub(super) fn ready_inside(self, nameservers: &[Ipv4Addr]) -> Vec<Request> {
        let mut requests = vec![up(LOOPBACK), address(INSIDE_INDEX, self.inside()), up(INSIDE_INDEX)];
        requests.extend(REFUSED.map(|range| route(range, None)));
        requests.push(route((Ipv4Addr::UNSPECIFIED, 0), Some(self.host())));
        requests.extend(nameservers.iter().map(|nameserver| route((*nameserver, 32), Some(self.host()))));
        requests
    }

    fn index(self) -> u32 {
        HOST_INDEX + u32::from(self.0)
    }
}

/// Returns what the link of a sandbox is called besides its name.
pub(super) fn alias_of(sandbox: &SandboxId) -> String {
    format!("innkeep {sandbox}")
}

/// Asks about the link with that name.
pub(super) fn by_name(name: &str) -> RouteNetlinkMessage {
    let mut message = link(0);
    message.attributes = vec![LinkAttribute::IfName(name.into())];
    RouteNetlinkMessage::GetLink(message)
}

/// Returns the alias of the link that was asked about.
pub(super) fn alias(answer: RouteNetlinkMessage) -> Option<String> {
    let RouteNetlinkMessage::NewLink(link) = answer else { return None };
    link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias),
        _ => None,
    })
}

fn new(message: RouteNetlinkMessage) -> Request {
    Request { message, flags: NLM_F_CREATE | NLM_F_EXCL }
}

fn set(message: LinkMessage) -> Request {
    Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn up(index: u32) -> Request {
    let mut message = link(index);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    set(message)
}

/// Gives a link its address of a pair, which makes the route to the other.
fn address(index: u32, address: Ipv4Addr) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 31;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
    new(RouteNetlinkMessage::NewAddress(message))
}

/// A route to `range` by way of `gateway`; without one nothing in it is reached, and programs are told so at once.
fn route((first, bits): Range, gateway: Option<Ipv4Addr>) -> Request {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: bits,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: if gateway.is_some() { RouteType::Unicast } else { RouteType::Unreachable },
        ..RouteHeader::default()
    };
    message.attributes = vec![RouteAttribute::Destination(RouteAddress::Inet(first))];
    message.attributes.extend(gateway.map(|gateway| RouteAttribute::Gateway(RouteAddress::Inet(gateway))));
    new(RouteNetlinkMessage::NewRoute(message))
}
