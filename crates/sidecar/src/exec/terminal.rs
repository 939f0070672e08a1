//! A program's terminal. Its near end stays here, and what is typed and shown passes through: a terminal in the host's hands would
//! block it whenever somebody in the sandbox wished, and one of the host's own is none that the sandbox's programs can name.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use innkeep_protocol::link::exec::TerminalSize;
use innkeep_protocol::walls::Walls;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// What is passed on at one time, bytes. Source: our choice; a terminal's own buffer has as many.
const PART: usize = 4096;

/// The near end, and the host's socket.
#[derive(Debug)]
pub(super) struct Terminal {
    near: AsyncFd<OwnedFd>,
    screen: AsyncFd<OwnedFd>,
}

impl Terminal {
    /// Opens one, which is the agent's user's, and returns it with the program's end. `screen`: the host's, a stream.
    pub(super) fn open(walls: Option<&Walls>, screen: OwnedFd, size: TerminalSize) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let open = || {
            let near = rustix::pty::openpt(flags)?;
            rustix::pty::unlockpt(&near)?;
            let program = rustix::pty::ioctl_tiocgptpeer(&near, flags)?;
            Ok::<_, Errno>((near, program))
        };
        let (near, program) = match walls.filter(|walls| walls.first_id.is_some()) {
            Some(walls) => sys::as_owner((walls.agent.user, walls.agent.group), open),
            None => open(),
        }?;
        rustix::fs::fcntl_setfl(&near, rustix::fs::fcntl_getfl(&near)? | OFlags::NONBLOCK)?;
        let terminal = Self { near: sys::watch(near)?, screen: sys::watch(screen)? };
        terminal.resize(size);
        Ok((terminal, program))
    }

    /// Gives it another size, of which the programs on it are told.
    pub(super) fn resize(&self, TerminalSize { rows, columns }: TerminalSize) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // It fails for nobody but a terminal that is gone.
        let _ = rustix::termios::tcsetwinsize(self.near.get_ref(), size);
    }

    /// Passes on what is typed and shown, until nobody is left who could show anything, or nobody who looks.
    pub(super) async fn pass(&self) {
        let mut is_typed = true;
        let (mut typed, mut shown) = (Box::pin(self.pass_typed()), Box::pin(self.pass_shown()));
        loop {
            tokio::select! {
                () = &mut typed, if is_typed => is_typed = false,
                () = &mut shown => break,
            }
        }
        // Whoever looks has seen all.
        let _ = rustix::net::shutdown(self.screen.get_ref(), Shutdown::Both);
    }

    async fn pass_typed(&self) {
        let mut part = vec![0; PART];
        while let Ok(n @ 1..) = receive(&self.screen, &mut part).await {
            let mut rest = part.get(..n).unwrap_or_default();
            while !rest.is_empty() {
                match write(&self.near, rest).await {
                    Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                    Err(_) => return,
                }
            }
        }
    }

    async fn pass_shown(&self) {
        let mut part = vec![0; PART];
        // EIO: the last program that had it open is gone.
        while let Ok(n @ 1..) = read(&self.near, &mut part).await {
            let mut rest = part.get(..n).unwrap_or_default();
            while !rest.is_empty() {
                match send(&self.screen, rest).await {
                    Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                    Err(_) => return,
                }
            }
        }
    }
}

async fn read(from: &AsyncFd<OwnedFd>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = from.readable().await?;
        if let Ok(n) = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *into)?)) {
            return n;
        }
    }
}

async fn write(to: &AsyncFd<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = to.writable().await?;
        if let Ok(n) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
            return n;
        }
    }
}

async fn receive(from: &AsyncFd<OwnedFd>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = from.readable().await?;
        if let Ok(n) = ready.try_io(|fd| Ok(rustix::net::recv(fd.as_fd(), &mut *into, RecvFlags::DONTWAIT)?.1)) {
            return n;
        }
    }
}

async fn send(to: &AsyncFd<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let mut ready = to.writable().await?;
        if let Ok(n) = ready.try_io(|fd| Ok(rustix::net::send(fd.as_fd(), bytes, flags)?)) {
            return n;
        }
    }
}
