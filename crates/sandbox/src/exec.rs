//! Programs beside an agent, as the host has them: asked for, fed, read and ended.
//!
//! Their streams are made here and handed in. What comes out of a sandbox as a descriptor could be switched to block a worker of the
//! server; the ends that stay here are files of their own, and ours alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use innkeep_protocol::link::MAX_FRAME;
use innkeep_protocol::link::exec::{ExecPlan, ExecRefusal, FromExec, MAX_EXEC_PLAN, ToExec};
use innkeep_types::{AgentExit, ErrorKind};
use rustix::fs::{MemfdFlags, Mode};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::timeout;

pub use innkeep_protocol::link::exec::{ExecProgram, TerminalSize};

use crate::sys;

/// The longest that a sidecar may take to start a program. It takes milliseconds; on a host that is overloaded, longer.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// One run of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// What is run, as the sandbox knows it.
    pub program: ExecProgram,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Added to the agent's environment, or in place of what that has by the same name.
    pub environment: BTreeMap<String, String>,
    /// Of the terminal that it gets; none: three pipes.
    pub terminal: Option<TerminalSize>,
}

/// Why a program does not run. No variant leaves one behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was to be a shell.
    #[error("the agent's file system has neither bash nor sh")]
    NoShell,
    /// It could not be executed.
    #[error("{0}")]
    Program(String),
    /// As many as may run beside one agent do already.
    #[error("too many commands are running in this session")]
    Busy,
    /// Sandboxes outlive their server, and this one's did not know programs beside the agent yet.
    #[error("the session was started by an older innkeep, which runs no commands; stop it, and ask again")]
    TooOld,
    /// The plan is larger than [`MAX_EXEC_PLAN`].
    #[error("the command is too long")]
    TooLong,
    /// The sandbox has ended, or is ending.
    #[error("the sandbox is gone")]
    Gone(#[source] Option<io::Error>),
    /// Its sidecar failed, or did not answer.
    #[error("the sandbox could not start a program: {0}")]
    Sidecar(String),
    /// This host refused something.
    #[error("could not make what a program needs")]
    Host(#[source] io::Error),
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // What a sidecar cannot is nearly always what the sandbox has no room for any more.
            Self::NoShell | Self::Program(_) | Self::Gone(_) | Self::Sidecar(_) => ErrorKind::Agent,
            Self::TooLong => ErrorKind::Validation,
            Self::Busy => ErrorKind::Throttled,
            Self::TooOld => ErrorKind::Conflict,
            Self::Host(_) => ErrorKind::Internal,
        }
    }
}

/// One program beside the agent. Dropping it kills the program and all that it started.
#[derive(Debug)]
pub struct Exec {
    /// What it reads and writes.
    pub streams: ExecStreams,
    /// The program itself.
    pub process: ExecProcess,
}

/// What a program reads and writes, seen from here. After its end what it wrote can still be read.
#[derive(Debug)]
pub enum ExecStreams {
    /// Three pipes.
    Pipes {
        /// Dropping it is the end of the program's input.
        stdin: Option<pipe::Sender>,
        /// Its output.
        stdout: pipe::Receiver,
        /// Its errors.
        stderr: pipe::Receiver,
    },
    /// A terminal: what is typed and what is shown. It ends when the program has.
    Terminal(UnixStream),
}

/// How a program ended, with all that it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecExit {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// With its sandbox, or unheard.
    SandboxGone,
}

/// A program beside the agent, apart from its streams. Dropping it kills the program and all that it started.
#[derive(Debug)]
pub struct ExecProcess {
    /// Over which it is spoken of.
    socket: AsyncFd<OwnedFd>,
    exit: Option<ExecExit>,
}

/// A program that is asked for.
#[derive(Debug)]
pub struct Asked {
    streams: ExecStreams,
    process: ExecProcess,
}

/// Makes what a program needs. Returns also the socket for the sandbox, in which all that it is to know lies already. Called within a
/// tokio runtime.
///
/// # Errors
/// [`Error::TooLong`], or [`Error::Host`].
pub fn ask(spec: ExecSpec) -> Result<(Asked, OwnedFd), Error> {
    let ExecSpec { program, arguments, environment, terminal } = spec;
    let plan = serde_json::to_vec(&ExecPlan { program, arguments, environment }).map_err(io::Error::from);
    let plan = plan.map_err(Error::Host)?;
    if u64::try_from(plan.len()).is_ok_and(|len| len > MAX_EXEC_PLAN) {
        return Err(Error::TooLong);
    }
    make(&plan, terminal).map_err(Error::Host)
}

fn make(plan: &[u8], terminal: Option<TerminalSize>) -> io::Result<(Asked, OwnedFd)> {
    let mut memory = File::from(rustix::fs::memfd_create("innkeep-exec", MemfdFlags::CLOEXEC)?);
    memory.write_all(plan)?;
    memory.rewind()?;
    let (streams, theirs) = match terminal {
        None => pipes()?,
        Some(_) => {
            let (ours, theirs) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            (ExecStreams::Terminal(UnixStream::from_std(ours)?), vec![theirs.into()])
        }
    };
    let (ours, sandboxs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let descriptors: Vec<_> = std::iter::once(memory.as_fd()).chain(theirs.iter().map(AsFd::as_fd)).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let frame = serde_json::to_vec(&ToExec::Start { terminal })?;
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(&ours, &[IoSlice::new(&frame)], &mut control, flags)?;
    let socket = sys::watch(ours, Interest::READABLE)?;
    Ok((Asked { streams, process: ExecProcess { socket, exit: None } }, sandboxs))
}

/// Returns our ends of three pipes, and the program's.
fn pipes() -> io::Result<(ExecStreams, Vec<OwnedFd>)> {
    let make = || -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Programs open `/dev/stdout`, and behind walls they are not who made it. Who may look into them has it anyway.
        rustix::fs::fchmod(&read, Mode::from_raw_mode(0o666))?;
        Ok((read, write))
    };
    let ((stdin_rx, stdin), (stdout, stdout_tx), (stderr, stderr_tx)) = (make()?, make()?, make()?);
    let streams = ExecStreams::Pipes {
        stdin: Some(pipe::Sender::from_owned_fd(stdin)?),
        stdout: pipe::Receiver::from_owned_fd(stdout)?,
        stderr: pipe::Receiver::from_owned_fd(stderr)?,
    };
    Ok((streams, vec![stdin_rx, stdout_tx, stderr_tx]))
}

impl Asked {
    /// Waits until the program runs, once the sandbox has its socket.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn started(self) -> Result<Exec, Error> {
        let Self { streams, process } = self;
        match timeout(START_TIMEOUT, process.next()).await {
            Ok(Ok(FromExec::Started)) => Ok(Exec { streams, process }),
            Ok(Ok(FromExec::Refused(refusal))) => Err(match refusal {
                ExecRefusal::NoShell => Error::NoShell,
                ExecRefusal::Program(why) => Error::Program(why),
                ExecRefusal::Busy => Error::Busy,
                ExecRefusal::Failed(why) => Error::Sidecar(why),
            }),
            Ok(Ok(FromExec::Exited(_))) => Err(Error::Sidecar("it told of an end before the start".to_owned())),
            Ok(Err(error)) => Err(Error::Gone(Some(error))),
            Err(_) => Err(Error::Sidecar(format!("it did not answer within {START_TIMEOUT:?}"))),
        }
    }
}

impl Exec {
    /// As [`ExecProcess::wait`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait(&mut self) -> ExecExit {
        self.process.wait().await
    }

    /// As [`ExecProcess::resize`].
    pub fn resize(&self, size: TerminalSize) {
        self.process.resize(size);
    }

    /// As [`ExecProcess::kill`].
    pub fn kill(&self) {
        self.process.kill();
    }
}

impl ExecProcess {
    /// Waits for the end of the program and of all that it started. What it wrote may still be on its way.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait(&mut self) -> ExecExit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit = match self.next().await {
            Ok(FromExec::Exited(AgentExit::Code(code))) => ExecExit::Exited(code),
            Ok(FromExec::Exited(AgentExit::Signal(signal))) => ExecExit::Signalled(signal),
            Ok(FromExec::Started | FromExec::Refused(_)) | Err(_) => ExecExit::SandboxGone,
        };
        *self.exit.insert(exit)
    }

    /// Tells the programs on the terminal that it has another size.
    pub fn resize(&self, size: TerminalSize) {
        // One that is gone has no size, and one whose sandbox leaves hundreds of sizes untaken is as good as gone.
        let _ = serde_json::to_vec(&ToExec::Resize(size)).map(|frame| {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            rustix::net::send(self.socket.get_ref(), &frame, flags)
        });
    }

    /// Kills the program and all that it started.
    pub fn kill(&self) {
        // It fails for nobody but who is gone.
        let _ = rustix::net::shutdown(self.socket.get_ref(), Shutdown::Write);
    }

    /// # Cancel safety
    /// Safe: a datagram is taken whole or not at all.
    async fn next(&self) -> io::Result<FromExec> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = ready.try_io(|socket| {
                let mut frame = vec![0; MAX_FRAME];
                // Descriptors that nobody asked for find no room, and are closed by the kernel.
                let n = rustix::net::recv(socket.get_ref(), frame.as_mut_slice(), RecvFlags::DONTWAIT)?.0;
                if n == 0 {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(serde_json::from_slice(frame.get(..n).unwrap_or_default())?)
                }
            });
            if let Ok(received) = received {
                return received;
            }
        }
    }
}

#[cfg(test)]
mod tests;
