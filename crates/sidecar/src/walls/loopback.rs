//! The network of a sandbox that nobody else has made ready: loopback, and what shall not be reached.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys;

/// Brings loopback up. A connection attempt before that would cost its maker a second.
pub(super) fn up() -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    sys::bring_up(&socket, c"lo")
}

/// Makes `destination`, such as `10.0.0.0/8`, unreachable.
pub(super) fn refuse(destination: &str) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let (address, bits) = destination.split_once('/').ok_or_else(invalid)?;
    let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
    let bits: u32 = bits.parse().map_err(|_| invalid())?;
    let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0));
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::add_unreachable_route(&socket, address, mask)
}
