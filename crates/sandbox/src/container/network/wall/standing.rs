//! Asks the kernel whether our table is there: some microseconds, where a run of `nft` takes milliseconds.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE`. Source: linux/netfilter/nfnetlink.h, nf_tables.h.
const GET_TABLE: u16 = 10 << 8 | 1;
const REQUEST: u16 = 1;
/// `NFPROTO_INET`. Source: linux/netfilter.h.
const INET: u8 = 1;
/// `NFTA_TABLE_NAME`.
const NAME: u16 = 1;
/// `NLMSG_ERROR`. Source: netlink(7).
const ERROR: u16 = 2;

/// Tells whether the table stands in the network namespace of this thread.
pub(super) fn is_standing() -> io::Result<bool> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    rustix::net::send(&socket, &question(b"innkeep\0"), SendFlags::empty())?;
    let mut answer = [0; 1024];
    // The answer is there when `send` returns.
    rustix::net::recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    let [_, _, _, _, kind @ ..] = answer;
    let [low, high, ..] = kind;
    if u16::from_ne_bytes([low, high]) != ERROR {
        return Ok(true);
    }
    // After the header of 16 bytes: the negative error number.
    let code = answer.get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes).unwrap_or_default();
    match io::Error::from_raw_os_error(-code) {
        error if error.kind() == io::ErrorKind::NotFound => Ok(false),
        error => Err(error),
    }
}

/// A netlink header, the family of tables, and one attribute.
fn question(name: &[u8; 8]) -> Vec<u8> {
    const LENGTH: u32 = 16 + 4 + 4 + 8;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(GET_TABLE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([INET, 0, 0, 0]);
    message.extend(12u16.to_ne_bytes());
    message.extend(NAME.to_ne_bytes());
    message.extend(name);
    message
}
