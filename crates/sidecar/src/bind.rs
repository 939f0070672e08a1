//! Gives the agent a port of its own. Agents bind a fixed port, so two of them on one network would collide: each bind(2) of
//! the agent waits for our answer, and the one for the agent's port we do ourselves, on the very same socket, to loopback and
//! whatever port is free. Everything else goes on as if we were not there. A convenience, not a wall.
//!
//! An agent with a network of its own gets the port that it asked for; what it gains is that nobody reaches it but over loopback,
//! that we know at once when it listens, and that it answers without delay.
//!
//! ```text
//! bind(fd, 0.0.0.0:8080) ──► address read ── other family or port ──► the kernel goes on
//!                                  └─ the agent's ─► socket duplicated ── no TCP socket ──► the kernel goes on
//!                                                          └─► bound to 127.0.0.1:0, the first time; later to what that gave
//!                                                              (to 127.0.0.1 and the port asked for, on its own network)
//! ```

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use tokio::sync::watch;

use crate::sys::{self, BindAnswer, BindCall};

/// How many foreign ports are remembered for the message about an agent that bound the wrong one.
const MAX_OTHERS: usize = 4;

/// What the agent bound so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bound {
    /// Where its own port went.
    pub(crate) address: Option<SocketAddr>,
    /// Whether we saw it go there.
    pub(crate) is_seen: bool,
    /// Which other ports it asked for.
    pub(crate) others: Vec<u16>,
}

/// The agent's port, and the one that it gets in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) asked: u16,
    /// 0 takes a free one.
    pub(crate) given: u16,
}

/// Answers the agent's bind calls until no process is left that could make one.
pub(crate) async fn answer(listener: OwnedFd, ports: Ports, bound: &watch::Sender<Bound>) -> io::Result<()> {
    let listener = sys::watch(listener)?;
    loop {
        let mut ready = listener.readable().await?;
        // Poll anew before every receive: unlike a socket's, it blocks, whatever O_NONBLOCK says.
        match poll(listener.as_fd())? {
            polled if polled.contains(PollFlags::IN) => match sys::receive_bind(listener.as_fd()) {
                Ok(call) => {
                    let answer = bind(&call, listener.as_fd(), ports, bound);
                    sys::answer_bind(listener.as_fd(), call.id, answer);
                }
                // The caller was killed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            },
            polled if polled.contains(PollFlags::HUP) => return Ok(()),
            _ => ready.clear_ready(),
        }
    }
}

fn poll(listener: BorrowedFd<'_>) -> io::Result<PollFlags> {
    let mut polled = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents())
}

fn bind(call: &BindCall, listener: BorrowedFd<'_>, ports: Ports, bound: &watch::Sender<Bound>) -> BindAnswer {
    let asked = read_address(call);
    if !sys::is_waiting(listener, call.id) {
        // What was read may be another process's: the answer reaches nobody.
        return BindAnswer::Continue;
    }
    match asked {
        Some((_, asked)) if asked == ports.asked => {}
        Some((_, other)) => {
            remember_other(other, bound);
            return BindAnswer::Continue;
        }
        None => return BindAnswer::Continue,
    }
    let socket = match duplicate(call) {
        Ok(socket) if sys::is_waiting(listener, call.id) => socket,
        Ok(_) => return BindAnswer::Continue,
        Err(error) => return BindAnswer::Fail(Errno::from_io_error(&error).unwrap_or(Errno::PERM)),
    };
    if sockopt::socket_type(&socket) != Ok(SocketType::STREAM) {
        return BindAnswer::Continue;
    }
    // What the agent accepts inherits it. Servers that write an answer's head and body apart (Python's http.server) would else
    // wait 40 ms for the acknowledgement that our side delays. One that refuses it is served all the same.
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    let port = bound.borrow().address.map_or(ports.given, |address| address.port());
    match bind_loopback(&socket, port) {
        Ok(address) => {
            bound.send_modify(|bound| (bound.address, bound.is_seen) = (Some(address), true));
            BindAnswer::Done
        }
        Err(errno) => BindAnswer::Fail(errno),
    }
}

fn remember_other(port: u16, bound: &watch::Sender<Bound>) {
    bound.send_if_modified(|bound| {
        let new = port != 0 && !bound.others.contains(&port) && bound.others.len() < MAX_OTHERS;
        if new {
            bound.others.push(port);
        }
        new
    });
}

/// Returns family and port, if the address is of the internet.
fn read_address(call: &BindCall) -> Option<(AddressFamily, u16)> {
    let mut head = [0; 4];
    if call.length < 16 || sys::read_memory(call.thread, call.address, &mut head).ok()? < head.len() {
        return None;
    }
    let [family_0, family_1, port_0, port_1] = head;
    let family = AddressFamily::from_raw(u16::from_ne_bytes([family_0, family_1]));
    let internet = family == AddressFamily::INET || family == AddressFamily::INET6;
    internet.then_some((family, u16::from_be_bytes([port_0, port_1])))
}

/// Returns our own descriptor of the caller's socket.
fn duplicate(call: &BindCall) -> io::Result<OwnedFd> {
    // A pidfd is of a process, the call of a thread.
    let status = std::fs::read_to_string(format!("/proc/{}/status", call.thread.as_raw_pid()))?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|id| id.trim().parse().ok());
    let process = process.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let process = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(&process, call.socket, PidfdGetfdFlags::empty())?)
}

/// Binds to loopback and returns where one connects to.
fn bind_loopback(socket: &OwnedFd, port: u16) -> Result<SocketAddr, Errno> {
    let address = match sockopt::socket_domain(socket)? {
        AddressFamily::INET6 if sockopt::ipv6_v6only(socket)? => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        AddressFamily::INET6 => SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port)),
        _ => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    };
    rustix::net::bind(socket, &address)?;
    let local = SocketAddr::try_from(rustix::net::getsockname(socket)?)?;
    Ok(SocketAddr::new(local.ip().to_canonical(), local.port()))
}
