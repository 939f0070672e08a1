//! Programs beside the agent: started for a host, behind the agent's own walls, and ended with all that they started.
//!
//! ```text
//! host ══ a socket for each program ══ sidecar ── warden ── the program ── what it starts …
//!                                        │           └ adopts what loses its parent, kills all of it at the end
//!                                        └ the program's terminal, if it gets one
//! ```
//!
//! Each program is below a process of ours, its warden: whatever it starts, and however that tries to get away, stays below it. Nothing
//! outlives a program that it started: what is still there in a moment after its end is killed.

mod terminal;
mod warden;

use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::exec::{ExecPlan, ExecRefusal, FromExec, MAX_EXEC_PLAN, REFUSAL_BYTES, ToExec};
use innkeep_protocol::link::{LaunchPlan, MAX_FRAME};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, Shutdown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::agent::Streams;
use crate::sys;
use terminal::Terminal;
use warden::Order;

/// Programs beside one agent at one time. Source: our choice; each has two processes at least, and a host asks for fewer.
pub(crate) const MAX_PROGRAMS: usize = 64;

/// The longest that a host may take to say what it wants, which lies in the socket already, and a warden to start it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last output of a terminal may take to be passed on. Source: our choice.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Descriptors that come with a start: the plan and three streams.
const MAX_DESCRIPTORS: usize = 4;

/// What every program beside the agent has in common.
#[derive(Debug)]
pub(crate) struct Grounds {
    pub(crate) plan: Arc<LaunchPlan>,
    /// Where it starts, if that is held.
    pub(crate) start: Option<Arc<OwnedFd>>,
}

/// Runs the program that is asked for over `socket`, to its end. Whatever fails is told there.
///
/// # Cancel safety
/// Dropping the future kills the program and all that it started.
pub(crate) async fn run(grounds: Arc<Grounds>, socket: OwnedFd) {
    // One that breaks off has nobody to be told.
    let _ = attend(&grounds, socket).await;
}

/// Says that there are too many.
pub(crate) fn refuse(socket: &OwnedFd) {
    // A host that is gone needs no answer.
    let _ = finish(socket, &FromExec::Refused(ExecRefusal::Busy));
}

async fn attend(grounds: &Grounds, socket: OwnedFd) -> io::Result<()> {
    let host = sys::watch(socket)?;
    let (order, terminal) = match timeout(PATIENCE, receive(&host)).await?.and_then(|asked| prepare(grounds, asked)) {
        Ok(prepared) => prepared,
        Err(error) => return finish(host.get_ref(), &failed(&error)),
    };
    let warden = match warden::start(order) {
        Ok(warden) => warden,
        Err(error) => return finish(host.get_ref(), &failed(&error)),
    };
    let shows = async {
        if let Some(terminal) = &terminal {
            terminal.pass().await;
        }
    };
    let (mut shows, mut looked_after) = (pin!(shows), pin!(look_after(&host, &warden, terminal.as_ref())));
    let said = tokio::select! {
        said = &mut looked_after => said,
        () = &mut shows => return looked_after.await,
    };
    // What it printed last is on its way; but whoever was handed the terminal may hold it as long as he lives.
    let _ = timeout(LAST_OUTPUT, shows).await;
    said
}

fn failed(error: &io::Error) -> FromExec {
    FromExec::Refused(ExecRefusal::Failed(words(error.to_string())))
}

/// Cuts what is said to the length that a host takes.
fn words(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REFUSAL_BYTES));
    text
}

/// Passes on what host and warden say to each other, until the warden has said the last word.
async fn look_after(host: &AsyncFd<OwnedFd>, warden: &AsyncFd<OwnedFd>, terminal: Option<&Terminal>) -> io::Result<()> {
    let mut is_wanted = true;
    loop {
        tokio::select! {
            said = receive::<FromExec>(warden) => {
                match said?.0 {
                    FromExec::Started => send(host.get_ref(), &FromExec::Started)?,
                    last => return finish(host.get_ref(), &last),
                }
            }
            asked = receive::<ToExec>(host), if is_wanted => match asked {
                Ok((ToExec::Resize(size), _)) => if let Some(terminal) = terminal {
                    terminal.resize(size);
                },
                // Nothing more can come, or nothing that is understood: it is over.
                _ => {
                    is_wanted = false;
                    rustix::net::shutdown(warden.get_ref(), Shutdown::Write)?;
                }
            },
        }
    }
}

/// Makes of what a host asks for what a warden does.
fn prepare(grounds: &Grounds, asked: (ToExec, Vec<OwnedFd>)) -> io::Result<(Order, Option<Terminal>)> {
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let (ToExec::Start { terminal }, descriptors) = asked else {
        return Err(invalid("the host asked for something before the start"));
    };
    let mut descriptors = descriptors.into_iter();
    let plan = read(descriptors.next().ok_or_else(|| invalid("there is no plan"))?)?;
    let (streams, terminal) = match terminal {
        None => {
            let three = <[OwnedFd; 3]>::try_from(descriptors.collect::<Vec<_>>());
            (Streams::Three(three.map_err(|_| invalid("there are no three streams"))?), None)
        }
        Some(size) => {
            let screen = descriptors.next().ok_or_else(|| invalid("there is no screen"))?;
            let (terminal, program) = Terminal::open(grounds.plan.walls.as_ref(), screen, size)?;
            (Streams::Terminal(program), Some(terminal))
        }
    };
    let order = Order { launch: Arc::clone(&grounds.plan), start: grounds.start.clone(), plan, streams };
    Ok((order, terminal))
}

fn read(memory: OwnedFd) -> io::Result<ExecPlan> {
    let mut json = Vec::new();
    File::from(memory).take(MAX_EXEC_PLAN).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// # Cancel safety
/// Safe: a datagram is taken whole or not at all.
async fn receive<T: DeserializeOwned>(socket: &AsyncFd<OwnedFd>) -> io::Result<(T, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(received) = ready.try_io(|socket| receive_now(socket.get_ref())) {
            return received;
        }
    }
}

fn receive_now<T: DeserializeOwned>(socket: &OwnedFd) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut frame = vec![0; MAX_FRAME];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut frame)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut parts, &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(frame.get(..received.bytes).unwrap_or_default())?, descriptors))
}

/// Says the last word. What the host has said meanwhile is taken out: a socket that is closed over it would lose that word.
fn finish(host: &OwnedFd, message: &FromExec) -> io::Result<()> {
    send(host, message)?;
    rustix::net::shutdown(host, Shutdown::Both)?;
    let mut frame = [0; 1];
    while rustix::net::recv(host, &mut frame, RecvFlags::DONTWAIT).is_ok_and(|(n, _)| n > 0) {}
    Ok(())
}

/// Says something that always finds room: a handful of messages is all that one socket ever holds.
fn send(socket: impl AsFd, message: &impl Serialize) -> io::Result<()> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::send(socket, &serde_json::to_vec(message)?, flags).map(drop)?)
}
