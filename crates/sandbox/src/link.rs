//! The host's end of the link to one sidecar. What comes over it is hostile until checked: a message that breaks the rules ends
//! the link, and with it the sandbox.

mod allowance;

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use innkeep_protocol::link::{
    AgentState, BINDING_PROTOCOL, EXEC_PROTOCOL, ExitFacts, MAX_FRAME, PROTOCOL, SOCKET_FILE, ToHost, ToSidecar,
};
use innkeep_types::{SandboxId, UnixMillis};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use self::allowance::Allowance;
use crate::dial::{self, DialStream};
use crate::sys;

/// The longest that a sidecar may take for its Hello. It takes a millisecond; on a host that starts a hundred agents at once, longer.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a dial may take; the sidecar gives up a little earlier.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a sidecar may take to be bound.
const BIND_TIMEOUT: Duration = Duration::from_secs(2);

/// Dials that may wait at one time; more are refused.
const MAX_DIALS: usize = 1024;

/// Why there is no connection to the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the link is closed")]
    Closed,
    #[error("{0}")]
    Refused(String),
}

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    socket: AsyncFd<OwnedFd>,
    /// The sidecar's, at most ours.
    protocol: u32,
    dials: Mutex<Dials>,
    /// Who waits to hear that the sandbox is bound, if anybody does.
    binding: Mutex<Option<oneshot::Sender<()>>>,
}

#[derive(Debug)]
struct Dials {
    /// None once the link is closed.
    waiting: Option<HashMap<u64, oneshot::Sender<Result<DialStream, String>>>>,
    next_id: u64,
    /// Answers that the sidecar may still give: one for each dial, also for those that nobody waits for any more.
    owed: u64,
}

impl Link {
    /// Connects to the sidecar of the sandbox in `directory`; also returns the agent's pid and where things stand.
    pub(crate) async fn connect(directory: &Path, sandbox: &SandboxId) -> io::Result<(Self, i32, AgentState)> {
        let socket = sys::watch(connect(directory)?, Interest::READABLE | Interest::WRITABLE)?;
        let dials = Mutex::new(Dials { waiting: Some(HashMap::new()), next_id: 0, owed: 0 });
        let link = Self { socket, protocol: 0, dials, binding: Mutex::default() };
        let hello = timeout(HELLO_TIMEOUT, async {
            link.send(&ToSidecar::Hello { protocol: PROTOCOL }).await?;
            Ok::<_, io::Error>((link.next().await?, link.next().await?))
        });
        match hello.await?? {
            ((ToHost::Hello { protocol, sandbox: other, agent_pid, .. }, None), (ToHost::State(state), None))
                if other == *sandbox && protocol <= PROTOCOL =>
            {
                Ok((Self { protocol, ..link }, agent_pid, state))
            }
            // An older one is understood: see protocol::link.
            ((ToHost::Hello { protocol, .. }, None), _) if protocol > PROTOCOL => {
                Err(broken("the sidecar is of a newer innkeep"))
            }
            _ => Err(broken("the sidecar did not say hello")),
        }
    }

    /// Takes in what the sidecar says until it has told the agent's end; every state goes to `state`, an end as `judge` completes
    /// it. Any other end of the link is an error: also that it says too much, or answers what was not asked.
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn receive(
        &self,
        state: &watch::Sender<AgentState>,
        judge: impl Fn(ExitFacts) -> Option<ExitFacts>,
    ) -> io::Result<()> {
        let mut unasked = Allowance::full();
        while !matches!(*state.borrow(), AgentState::Exited(_)) {
            match self.next().await? {
                (ToHost::State(AgentState::Exited(facts)), None) => {
                    let judged = judge(facts.clone()).unwrap_or(facts);
                    state.send_replace(AgentState::Exited(judged));
                }
                (ToHost::State(new), None) if unasked.take() => drop(state.send_replace(new)),
                (ToHost::State(_), None) => return Err(broken("the sidecar floods the link")),
                (ToHost::Dialled { id, port }, Some(descriptor)) => {
                    self.count_answer()?;
                    let stream = match DialStream::from_descriptor(descriptor, port) {
                        Err(closed @ dial::Error::Closed) => Err(closed.to_string()),
                        taken => Ok(taken.map_err(io::Error::other)?),
                    };
                    self.answer(id, stream);
                }
                (ToHost::DialFailed { id, error }, None) => {
                    self.count_answer()?;
                    self.answer(id, Err(error));
                }
                (ToHost::Bound, None) => {
                    let asked = self.binding.lock().take();
                    // Who asked may have given up, and ends the sandbox.
                    let _ = asked.ok_or_else(|| broken("the sidecar was not bound"))?.send(());
                }
                _ => return Err(broken("the sidecar sent what it must not send now")),
            }
        }
        Ok(())
    }

    /// Returns a fresh connection to the agent: to the port that it serves on, or to another one.
    /// # Cancel safety
    /// Safe: a connection that arrives for nobody is closed.
    pub(crate) async fn dial(&self, port: Option<u16>) -> Result<DialStream, DialError> {
        let (waiting, answer_rx) = self.wait_for_answer()?;
        let answer = timeout(DIAL_TIMEOUT, async {
            self.send(&ToSidecar::Dial { id: waiting.id, port }).await.map_err(|_| DialError::Closed)?;
            answer_rx.await.map_err(|_| DialError::Closed)?.map_err(DialError::Refused)
        });
        answer.await.unwrap_or_else(|_| Err(DialError::Refused(format!("no connection within {DIAL_TIMEOUT:?}"))))
    }

    /// Makes the sandbox, which waited, a session's, which ends at `ends_at`. Not twice at one time.
    ///
    /// # Errors
    /// Also `Unsupported`, from a sidecar that is too old.
    pub(crate) async fn bind(&self, ends_at: UnixMillis) -> io::Result<()> {
        if self.protocol < BINDING_PROTOCOL {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (bound_tx, bound_rx) = oneshot::channel();
        *self.binding.lock() = Some(bound_tx);
        timeout(BIND_TIMEOUT, async {
            self.send(&ToSidecar::Bind { ends_at }).await?;
            bound_rx.await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
        })
        .await?
    }

    /// Hands the sidecar the socket over which a program beside the agent is asked for.
    ///
    /// # Errors
    /// Also `Unsupported`, from a sidecar that is too old.
    pub(crate) async fn exec(&self, socket: OwnedFd) -> io::Result<()> {
        if self.protocol < EXEC_PROTOCOL {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.send_with(&ToSidecar::Exec, Some(socket)).await
    }

    /// Asks for the agent's end.
    pub(crate) async fn stop(&self, grace: Duration) -> io::Result<()> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&ToSidecar::Stop { grace_ms }).await
    }

    /// Fails all dials, now and later, and who waits to be bound.
    pub(crate) fn close(&self) {
        self.dials.lock().waiting = None;
        self.binding.lock().take();
    }

    fn wait_for_answer(&self) -> Result<(Waiting<'_>, oneshot::Receiver<Result<DialStream, String>>), DialError> {
        let mut dials = self.dials.lock();
        let id = dials.next_id;
        dials.next_id += 1;
        let waiting = dials.waiting.as_mut().ok_or(DialError::Closed)?;
        if waiting.len() >= MAX_DIALS {
            return Err(DialError::Refused(format!("{MAX_DIALS} connections are being made already")));
        }
        let (answer_tx, answer_rx) = oneshot::channel();
        waiting.insert(id, answer_tx);
        // From here on, and not once it is sent: the answer may be quicker than we are.
        dials.owed += 1;
        Ok((Waiting { link: self, id }, answer_rx))
    }

    /// Counts an answer to a dial against the dials that were made.
    fn count_answer(&self) -> io::Result<()> {
        let mut dials = self.dials.lock();
        dials.owed = dials.owed.checked_sub(1).ok_or_else(|| broken("the sidecar answers a dial that was not made"))?;
        Ok(())
    }

    /// Hands an answer to who waits for it; one that comes too late is dropped, its connection closed.
    fn answer(&self, id: u64, answer: Result<DialStream, String>) {
        let waiting = self.dials.lock().waiting.as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    async fn send(&self, message: &ToSidecar) -> io::Result<()> {
        self.send_with(message, None).await
    }

    async fn send_with(&self, message: &ToSidecar, descriptor: Option<OwnedFd>) -> io::Result<()> {
        let frame = serde_json::to_vec(message)?;
        loop {
            let mut ready = self.socket.writable().await?;
            let descriptor = descriptor.as_ref().map(AsFd::as_fd);
            if let Ok(sent) = ready.try_io(|socket| send(socket, &frame, descriptor)) {
                return sent;
            }
        }
    }

    async fn next(&self) -> io::Result<(ToHost, Option<OwnedFd>)> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(received) = ready.try_io(receive) {
                return received;
            }
        }
    }
}

/// A place among the waiting dials, given back when the caller is done, or gone.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut self.link.dials.lock().waiting {
            waiting.remove(&self.id);
        }
    }
}

fn connect(directory: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // Through a descriptor: a socket's path is limited to 108 bytes, a data directory's is not. And the directory is the sandbox's
    // own: a link in it might lead to another sandbox's socket, which would drop its host for us.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::open(directory.join(SOCKET_FILE), flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn send(socket: &AsyncFd<OwnedFd>, frame: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, flags).map(drop)?)
}

/// Receives one message and at most one descriptor. Whatever else came is closed here, and an error.
fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(ToHost, Option<OwnedFd>)> {
    let mut frame = vec![0; MAX_FRAME];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut frame)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) || descriptors.len() > 1 {
        return Err(broken("the sidecar sent too much"));
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = serde_json::from_slice(frame.get(..received.bytes).unwrap_or_default())?;
    Ok((message, descriptors.pop()))
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
