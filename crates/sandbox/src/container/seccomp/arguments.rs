//! The calls whose answer depends on their arguments.
//!
//! Every argument here is an `int` to the kernel, which ignores the upper half of the register. So does the filter: compared as
//! 64 bits, `ioctl(fd, 1 << 32 | TIOCSTI)` would pass.

use super::Verdict::{self, Allow, Refuse};
use super::calls::{Call, call};

/// The tests of one call: the first that holds decides.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) call: Call,
    pub(super) cases: &'static [(When, Verdict)],
    pub(super) otherwise: Verdict,
}

/// A test that holds when all of its fields do.
type When = &'static [Field];

/// Holds when the lower half of argument `argument`, under `mask`, is `value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) argument: u8,
    pub(super) mask: u32,
    pub(super) value: u32,
}

/// Sorted by name.
pub(super) const GUARDS: &[Guard] = &[
    // clone3 hides its flags behind a pointer and is unlisted: the C libraries fall back to clone, which cannot.
    Guard {
        call: call!(SYS_clone),
        cases: &[(&[masked(0, NEW_NAMESPACES, 0)], Allow)],
        otherwise: Refuse(libc::EPERM),
    },
    // Both type into a terminal on behalf of its user, who may be the operator.
    Guard {
        call: call!(SYS_ioctl),
        cases: &[(&[is(1, TIOCSTI)], Refuse(libc::EPERM)), (&[is(1, TIOCLINUX)], Refuse(libc::EPERM))],
        otherwise: Allow,
    },
    #[cfg(target_arch = "x86_64")]
    Guard { call: call!(SYS_mknod), cases: NO_DEVICE[0], otherwise: Refuse(libc::EPERM) },
    Guard { call: call!(SYS_mknodat), cases: NO_DEVICE[1], otherwise: Refuse(libc::EPERM) },
    // PER_LINUX and PER_LINUX32, each also with UNAME26, and the question. The others weaken the layout of memory.
    Guard {
        call: call!(SYS_personality),
        cases: &[
            (&[is(0, 0)], Allow),
            (&[is(0, 0x8)], Allow),
            (&[is(0, 0x2_0000)], Allow),
            (&[is(0, 0x2_0008)], Allow),
            (&[is(0, u32::MAX)], Allow),
        ],
        otherwise: Refuse(libc::EPERM),
    },
    // The other families, and the other protocols of the internet, load modules that few have looked at. They are answered as by a kernel without them: libraries that try
    // vsock, packet or audit cope with that. Route is how C libraries learn the machine's addresses.
    Guard {
        call: call!(SYS_socket),
        cases: &[
            (&[is(0, AF_UNIX)], Allow),
            (&[is(0, AF_INET), is(2, 0)], Allow),
            (&[is(0, AF_INET), is(2, TCP)], Allow),
            (&[is(0, AF_INET), is(2, UDP)], Allow),
            (&[is(0, AF_INET), is(2, ICMP)], Allow),
            (&[is(0, AF_INET), is(2, MPTCP)], Allow),
            (&[is(0, AF_INET6), is(2, 0)], Allow),
            (&[is(0, AF_INET6), is(2, TCP)], Allow),
            (&[is(0, AF_INET6), is(2, UDP)], Allow),
            (&[is(0, AF_INET6), is(2, ICMPV6)], Allow),
            (&[is(0, AF_INET6), is(2, MPTCP)], Allow),
            (&[is(0, AF_NETLINK), is(2, NETLINK_ROUTE)], Allow),
        ],
        otherwise: Refuse(libc::EAFNOSUPPORT),
    },
    Guard { call: call!(SYS_socketpair), cases: &[(&[is(0, AF_UNIX)], Allow)], otherwise: Refuse(libc::EAFNOSUPPORT) },
];

/// Files, pipes and sockets, no devices and nothing else; the mode is argument 1 or 2.
const NO_DEVICE: [&[(When, Verdict)]; 2] = [
    &[
        (&[masked(1, S_IFMT, 0)], Allow),
        (&[masked(1, S_IFMT, S_IFREG)], Allow),
        (&[masked(1, S_IFMT, S_IFIFO)], Allow),
        (&[masked(1, S_IFMT, S_IFSOCK)], Allow),
    ],
    &[
        (&[masked(2, S_IFMT, 0)], Allow),
        (&[masked(2, S_IFMT, S_IFREG)], Allow),
        (&[masked(2, S_IFMT, S_IFIFO)], Allow),
        (&[masked(2, S_IFMT, S_IFSOCK)], Allow),
    ],
];

// Spelled out, as `u32`: libc gives each of these the type of its C declaration. A test compares them.
pub(super) const NEW_NAMESPACES: u32 = 0x7e02_0000;
pub(super) const TIOCSTI: u32 = 0x5412;
pub(super) const TIOCLINUX: u32 = 0x541c;
pub(super) const AF_UNIX: u32 = 1;
pub(super) const AF_INET: u32 = 2;
pub(super) const AF_INET6: u32 = 10;
pub(super) const AF_NETLINK: u32 = 16;
pub(super) const NETLINK_ROUTE: u32 = 0;

/// Source: IANA, protocol numbers; 262 is the kernel's own for MPTCP.
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;
const MPTCP: u32 = 262;
pub(super) const S_IFMT: u32 = libc::S_IFMT;
pub(super) const S_IFREG: u32 = libc::S_IFREG;
pub(super) const S_IFIFO: u32 = libc::S_IFIFO;
pub(super) const S_IFSOCK: u32 = libc::S_IFSOCK;

const fn is(argument: u8, value: u32) -> Field {
    masked(argument, u32::MAX, value)
}

const fn masked(argument: u8, mask: u32, value: u32) -> Field {
    Field { argument, mask, value }
}
