//! The sidecar's end of the link: one host at a time, the newest. A host that breaks the rules loses its connection, nothing
//! else.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, MAX_FRAME, PROTOCOL, ToHost, ToSidecar};
use innkeep_types::{SandboxId, UnixMillis};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};
use rustix::process::Pid;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bind::Bound;
use crate::exec::{self, Grounds, MAX_PROGRAMS};
use crate::sys;

/// Connections to the agent that may be in the making at one time; more are refused.
const MAX_DIALS: usize = 256;

/// The longest that one of them may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// The longest that a host may leave a message untaken.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// What a host may ask about, or for.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) sandbox: SandboxId,
    pub(crate) agent: Pid,
    pub(crate) state: watch::Receiver<AgentState>,
    pub(crate) bound: watch::Receiver<Bound>,
    /// Takes the grace of every Stop. When it is full, an end is under way.
    pub(crate) stop_tx: mpsc::Sender<Duration>,
    /// When the sandbox ends by itself.
    pub(crate) ends_at: watch::Sender<UnixMillis>,
    /// Behind walls nobody but the server has a way to the socket, and the server has no user id.
    pub(crate) behind_walls: bool,
    /// Of programs beside the agent; none where there are to be none: the agent is a zygote.
    pub(crate) grounds: Option<Arc<Grounds>>,
}

/// Listens on `path`, which replaces whatever is there.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let _ = std::fs::remove_file(path);
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// Serves hosts until one has been told the agent's end.
pub(crate) async fn serve(listener: OwnedFd, door: Door) -> io::Result<()> {
    let listener = sys::watch(listener)?;
    let mut host = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, door.behind_walls) => if let Some(socket) = accepted? {
                host.abort_all();
                host.spawn(attend(socket, door.clone()));
            },
            Some(ended) = host.join_next() => if matches!(ended, Ok(Ok(()))) {
                return Ok(());
            },
        }
    }
}

/// Takes the next connection in; none if its other end is not our user's or root's.
async fn accept(listener: &AsyncFd<OwnedFd>, from_anybody: bool) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    loop {
        let mut ready = listener.readable().await?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match ready.try_io(|listener| Ok(rustix::net::accept_with(listener, flags)?)) {
            Ok(Ok(socket)) => {
                return is_ours(&socket, from_anybody)?.then(|| sys::watch(socket)).transpose();
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

fn is_ours(socket: &OwnedFd, from_anybody: bool) -> io::Result<bool> {
    if from_anybody {
        return Ok(true);
    }
    let uid = sockopt::socket_peercred(socket)?.uid;
    Ok(uid.is_root() || uid == rustix::process::getuid())
}

/// Serves one host until it has been told the agent's end. Any other end of its connection is an error.
async fn attend(socket: AsyncFd<OwnedFd>, mut door: Door) -> io::Result<()> {
    let (ToSidecar::Hello { .. }, None) = receive(&socket).await? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let hello = ToHost::Hello {
        protocol: PROTOCOL,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        sandbox: door.sandbox.clone(),
        agent_pid: door.agent.as_raw_pid(),
    };
    send(&socket, &hello, None).await?;
    door.state.mark_changed();
    let mut dials = JoinSet::new();
    let mut programs = JoinSet::new();
    loop {
        tokio::select! {
            Ok(()) = door.state.changed() => {
                let state = door.state.borrow_and_update().clone();
                let last = matches!(state, AgentState::Exited(_));
                send(&socket, &ToHost::State(state), None).await?;
                if last {
                    return Ok(());
                }
            }
            message = receive(&socket) => match message? {
                (ToSidecar::Hello { .. }, _) => {}
                (ToSidecar::Dial { id, port }, _) if dials.len() < MAX_DIALS => {
                    let own = door.bound.borrow().address;
                    let address = port.map_or(own, |port| Some((Ipv4Addr::LOCALHOST, port).into()));
                    dials.spawn(async move { (id, dial(address).await) });
                }
                (ToSidecar::Dial { id, .. }, _) => {
                    let error = "too many connections are being made".to_owned();
                    send(&socket, &ToHost::DialFailed { id, error }, None).await?;
                }
                (ToSidecar::Bind { ends_at }, _) => {
                    door.ends_at.send_replace(ends_at);
                    send(&socket, &ToHost::Bound, None).await?;
                }
                (ToSidecar::Exec, Some(program)) => match &door.grounds {
                    Some(grounds) if programs.len() < MAX_PROGRAMS => {
                        programs.spawn(exec::run(Arc::clone(grounds), program));
                    }
                    _ => exec::refuse(&program),
                },
                (ToSidecar::Exec, None) => return Err(io::ErrorKind::InvalidData.into()),
                (ToSidecar::Stop { grace_ms }, _) => {
                    let _ = door.stop_tx.try_send(Duration::from_millis(grace_ms));
                }
            },
            Some(_) = programs.join_next() => {}
            Some(Ok((id, dialled))) = dials.join_next() => match dialled {
                Ok((stream, port)) => send(&socket, &ToHost::Dialled { id, port }, Some(stream.as_fd())).await?,
                Err(error) => send(&socket, &ToHost::DialFailed { id, error: error.to_string() }, None).await?,
            },
        }
    }
}

/// Connects to the agent and says to which port. The descriptor belongs to no event loop any more.
async fn dial(address: Option<SocketAddr>) -> io::Result<(OwnedFd, u16)> {
    let address =
        address.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the agent listens on no port yet"))?;
    let stream = timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok((stream.into_std()?.into(), address.port()))
}

/// # Cancel safety
/// Safe: a datagram is taken whole or not at all.
async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(ToSidecar, Option<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(received) = ready.try_io(|socket| receive_now(socket.get_ref())) {
            return received;
        }
    }
}

fn receive_now(socket: &OwnedFd) -> io::Result<(ToSidecar, Option<OwnedFd>)> {
    let mut frame = vec![0; MAX_FRAME];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut frame)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut parts, &mut control, flags)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(frame.get(..received.bytes).unwrap_or_default())?, descriptor))
}

async fn send(socket: &AsyncFd<OwnedFd>, message: &ToHost, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let frame = encode(message)?;
    let sent = timeout(SEND_TIMEOUT, async {
        loop {
            let mut ready = socket.writable().await?;
            match ready.try_io(|socket| Ok(send_now(socket.as_fd(), &frame, descriptor)?)) {
                Ok(sent) => return sent,
                Err(_would_block) => {}
            }
        }
    });
    sent.await?
}

fn send_now(socket: BorrowedFd<'_>, frame: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map(drop)
}

/// Returns the message as one frame. Log lines full of control characters grow six-fold as JSON: then the oldest go.
fn encode(message: &ToHost) -> io::Result<Vec<u8>> {
    let mut frame = serde_json::to_vec(message)?;
    if let ToHost::State(AgentState::Exited(facts)) = message {
        let mut facts = facts.clone();
        while frame.len() > MAX_FRAME && !facts.log_tail.is_empty() {
            facts.log_tail.remove(0);
            frame = serde_json::to_vec(&ToHost::State(AgentState::Exited(facts.clone())))?;
        }
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use innkeep_protocol::link::{ExitCause, ExitFacts, LOG_TAIL_LINE_BYTES, LOG_TAIL_LINES};
    use innkeep_types::{AgentExit, UnixMillis};

    use super::*;

    #[test]
    fn an_exit_fits_a_frame_whatever_the_agent_logged() {
        let facts = ExitFacts {
            exit: AgentExit::Code(1),
            cause: ExitCause::Itself,
            detail: None,
            at: UnixMillis(0),
            log_tail: vec!["\u{1}".repeat(LOG_TAIL_LINE_BYTES); LOG_TAIL_LINES],
        };
        let frame = encode(&ToHost::State(AgentState::Exited(facts))).unwrap();
        assert!(frame.len() <= MAX_FRAME, "{}", frame.len());
        let ToHost::State(AgentState::Exited(kept)) = serde_json::from_slice(&frame).unwrap() else { panic!() };
        assert_eq!(kept.log_tail.len(), 5);
    }
}
