//! A connection that came out of a sandbox as a descriptor: hostile until checked, and driven so that its peer cannot block us.
//!
//! It is no tokio `TcpStream` because O_NONBLOCK belongs to the open file that sender and receiver share: the sender can clear
//! it after we looked, and a TcpStream would then block a worker of the server. Here every call says MSG_DONTWAIT for itself.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use innkeep_types::ErrorKind;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketType, ipproto, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// Why a descriptor is no connection to the agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is something else.
    #[error("the descriptor is no TCP connection to port {port} on loopback")]
    Foreign {
        /// Where it should lead.
        port: u16,
    },
    /// It is a connection no more: its peer has reset it.
    #[error("the agent closed the connection at once")]
    Closed,
    /// It could not be looked at, or not be driven.
    #[error("the descriptor is of no use")]
    Io(#[from] io::Error),
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Foreign { .. } | Self::Closed => ErrorKind::Agent,
            Self::Io(_) => ErrorKind::Internal,
        }
    }
}

/// A TCP connection to an agent. Dropping it closes it.
#[derive(Debug)]
pub struct DialStream {
    socket: Arc<AsyncFd<OwnedFd>>,
    sent: Arc<AtomicU64>,
}

/// Looks at a [`DialStream`] that something else drives; does not keep it open.
#[derive(Debug, Clone)]
pub struct DialMonitor {
    socket: Weak<AsyncFd<OwnedFd>>,
    sent: Arc<AtomicU64>,
}

impl DialStream {
    /// Takes a descriptor that came out of a sandbox, if it is a plain TCP connection to `port` on loopback. Called within a
    /// tokio runtime.
    pub fn from_descriptor(descriptor: OwnedFd, port: u16) -> Result<Self, Error> {
        if !is_tcp(&descriptor)? {
            return Err(Error::Foreign { port });
        }
        let peer = match rustix::net::getpeername(&descriptor) {
            Ok(peer) => peer.map(SocketAddr::try_from).transpose().map_err(io::Error::from)?,
            // An agent may reset a connection before we look: its right, and nothing that a sidecar did wrong.
            Err(rustix::io::Errno::NOTCONN) => return Err(Error::Closed),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if !peer.is_some_and(|peer| peer.ip().is_loopback() && peer.port() == port) {
            return Err(Error::Foreign { port });
        }
        // Whatever the sender set: a close that blocks, small packets held back.
        sockopt::set_socket_linger(&descriptor, None).map_err(io::Error::from)?;
        sockopt::set_tcp_nodelay(&descriptor, true).map_err(io::Error::from)?;
        let socket = Arc::new(sys::watch(descriptor, Interest::READABLE | Interest::WRITABLE)?);
        Ok(Self { socket, sent: Arc::default() })
    }

    /// Returns a way to look at this stream once it is given away.
    pub fn monitor(&self) -> DialMonitor {
        DialMonitor { socket: Arc::downgrade(&self.socket), sent: Arc::clone(&self.sent) }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&AsyncFd<OwnedFd>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_write_ready(cx))?;
            if let Ok(sent) = ready.try_io(|socket| Ok(send(socket)?)) {
                if let Ok(n) = sent {
                    self.sent.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
                return Poll::Ready(sent);
            }
        }
    }
}

impl DialMonitor {
    /// Returns how many bytes have left on the stream since it was opened.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Tells whether the stream is open and its peer has neither closed it nor sent anything that was not read yet.
    pub fn is_quiet(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.socket
            .upgrade()
            .is_some_and(|socket| rustix::net::recv(&*socket, &mut [0; 1], peek) == Err(rustix::io::Errno::AGAIN))
    }
}

/// Tells whether the descriptor is a TCP socket that does not listen.
fn is_tcp(descriptor: &OwnedFd) -> io::Result<bool> {
    // Whatever is no socket at all fails here.
    let family = match sockopt::socket_domain(descriptor) {
        Err(rustix::io::Errno::NOTSOCK) => return Ok(false),
        family => family?,
    };
    Ok((family == AddressFamily::INET || family == AddressFamily::INET6)
        && sockopt::socket_type(descriptor)? == SocketType::STREAM
        && sockopt::socket_protocol(descriptor)? == Some(ipproto::TCP)
        && !sockopt::socket_acceptconn(descriptor)?)
}

impl hyper::rt::Read for DialStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let room = buffer.remaining();
            match ready.try_io(|socket| sys::receive(socket, &mut buffer, RecvFlags::DONTWAIT)) {
                Ok(Ok(n)) => {
                    // The socket is empty now: spares hyper's next read a call that would only say so. An arrival in between
                    // is a new event, and the end of the stream stays visible.
                    if 0 < n && n < room {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl hyper::rt::Write for DialStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| rustix::net::send(socket.as_fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| {
            let mut control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(socket.as_fd(), parts, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(self.socket.as_fd(), Shutdown::Write) {
            // The peer closed first.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
