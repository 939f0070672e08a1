//! Every unsafe thing that this crate does. Nothing here decides anything.
#![expect(unsafe_code, reason = "the one file of this crate that may; see each JUSTIFICATION")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hyper::rt::ReadBufCursor;
use rustix::net::RecvFlags;
use rustix::thread::UnshareFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, stays the same descriptor and is owned by the AsyncFd to its end.
    // JUSTIFICATION: tokio has no safe constructor; its contract is just what OwnedFd guarantees.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// Receives into the free part of hyper's buffer and returns how much.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut ReadBufCursor<'_>, flags: RecvFlags) -> io::Result<usize> {
    // SAFETY: recv writes initialised bytes and nothing else.
    // JUSTIFICATION: the safe way zeroes the buffer before every read, or copies every byte once more.
    let free = unsafe { buffer.as_mut() };
    let n = rustix::net::recv(socket, free, flags)?.1;
    // SAFETY: the kernel wrote `n` bytes; without MSG_TRUNC it never reports more than it wrote.
    // JUSTIFICATION: as above.
    unsafe { buffer.advance(n) };
    Ok(n)
}

/// Returns the version of landlock that this kernel has; none without.
pub(crate) fn landlock_version() -> Option<i64> {
    // SAFETY: with this flag the call takes no pointer and makes nothing.
    // JUSTIFICATION: one number is not worth the crate that the sidecar uses.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) };
    (version > 0).then_some(version)
}

/// Puts the calling thread, and no other, into a new network namespace. Threads that it starts from then on are there too.
pub(crate) fn enter_new_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared: no memory, descriptor or file system state that other threads rely on.
    // JUSTIFICATION: rustix has no safe call for it, because other flags of `unshare` are not safe.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}
