//! Starts the agent: a session of its own, the plan's environment and nothing else, and, where the kernel lets us, a filter that
//! hands its bind(2) calls to [`crate::bind`].

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use innkeep_protocol::link::LaunchPlan;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Resource, Signal};

use crate::keeper::Sockets;
use crate::launch::{self, to};
use crate::program::Program;
use crate::sys;
use crate::walls::Confinement;

/// The agent's process, just started.
pub(crate) struct Agent {
    /// Also the id of its session and process group.
    pub(crate) pid: Pid,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Where its bind(2) calls arrive; none if it binds its port itself.
    pub(crate) binds: Option<OwnedFd>,
    /// Why there is no `binds`.
    pub(crate) caveat: Option<String>,
}

/// Why there is no agent, in words for who deployed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the command is empty")]
    Empty,
    #[error("working directory {} is no directory", .0.display())]
    NoDirectory(PathBuf),
    #[error("could not execute {program}: {source}{}", hint(program, source))]
    Exec { program: String, source: io::Error },
    #[error("port {port} is in use on this host, and agents cannot be given other ports here ({caveat})")]
    PortTaken { port: u16, caveat: String },
}

/// Starts the agent of `plan`, in `place` if that is given. The process must have one thread.
pub(crate) fn start(plan: &LaunchPlan, place: Option<Arc<OwnedFd>>) -> Result<Agent, launch::Error> {
    let program = plan.argv.first().ok_or(Error::Empty)?;
    if place.is_none() && !plan.working_directory.is_dir() {
        return Err(Error::NoDirectory(plan.working_directory.clone()).into());
    }
    let failed = |source| launch::Error::from(Error::Exec { program: program.clone(), source });
    let mut way =
        Way { plan, argv: plan.argv.clone(), environment: plan.environment.clone(), working_directory: place };
    match with_own_port(&way, &failed)? {
        Ok(agent) => Ok(agent),
        Err(refused) => {
            let caveat = format!("this kernel does not let us answer bind calls: {refused}");
            if TcpListener::bind((Ipv4Addr::LOCALHOST, plan.port)).is_err() {
                return Err(Error::PortTaken { port: plan.port, caveat }.into());
            }
            way.environment.insert("PORT".to_owned(), plan.port.to_string());
            without_filter(&way, None, &failed, Some(caveat))
        }
    }
}

/// Starts the zygote of `plan`, an interpreter that gets `sockets`. The process must have one thread.
pub(crate) fn start_zygote(plan: &LaunchPlan, sockets: &Arc<Sockets>) -> Result<Agent, launch::Error> {
    let program = plan.argv.first().ok_or(Error::Empty)?;
    let failed = |source| launch::Error::from(Error::Exec { program: program.clone(), source });
    let argv = plan.argv.iter().cloned().chain(sockets.arguments()).collect();
    let way = Way { plan, argv, environment: plan.environment.clone(), working_directory: None };
    without_filter(&way, Some(Arc::clone(sockets)), &failed, None)
}

/// Where a program's input comes from, and its output goes.
#[derive(Debug)]
pub(crate) enum Streams {
    Three([OwnedFd; 3]),
    /// A terminal, which becomes its session's.
    Terminal(OwnedFd),
}

/// Starts a program beside the agent of `plan`, behind the same walls, with what an agent has but for the filter of its binds: those are
/// the agent's. The process must have one thread. `program`: with the whole environment. `name`: what it is called in words.
pub(crate) fn start_beside(
    plan: &LaunchPlan,
    place: Option<Arc<OwnedFd>>,
    (name, program): (&str, Program),
    streams: Streams,
) -> Result<Pid, launch::Error> {
    if place.is_none() && !plan.working_directory.is_dir() {
        return Err(Error::NoDirectory(plan.working_directory.clone()).into());
    }
    let mut command = Command::new("program");
    if place.is_none() {
        command.current_dir(&plan.working_directory);
    }
    let has_terminal = matches!(streams, Streams::Terminal(_));
    let [stdin, stdout, stderr] = match streams {
        Streams::Three(three) => three,
        Streams::Terminal(terminal) => {
            let copy = || terminal.try_clone().map_err(to("hand the terminal on"));
            [copy()?, copy()?, terminal]
        }
    };
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let (mut making, failure) = Making::new(plan, program, place)?;
    let child = sys::spawn(&mut command, move || {
        making.begin()?;
        // As the filter of an agent's binds has it, where there are no walls.
        rustix::thread::set_no_new_privs(true)?;
        if has_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        making.finish()
    });
    // Its end is that of the pipe, and of the streams here.
    drop(command);
    let failed = |source| Error::Exec { program: name.to_owned(), source }.into();
    let child = child.map_err(|error| step(failure).unwrap_or_else(|| failed(error)))?;
    pid_of(&child).map_err(to("follow the program"))
}

/// Starts it without the filter of its binds.
fn without_filter(
    way: &Way<'_>,
    sockets: Option<Arc<Sockets>>,
    failed: &impl Fn(io::Error) -> launch::Error,
    caveat: Option<String>,
) -> Result<Agent, launch::Error> {
    let (mut making, failure) = way.making(failed)?;
    let child = sys::spawn(&mut way.command(), move || {
        making.begin()?;
        if let Some(sockets) = &sockets {
            sockets.hand_on()?;
        }
        making.finish()
    });
    let child = child.map_err(|error| step(failure).unwrap_or_else(|| failed(error)))?;
    agent(child, None, caveat).map_err(to("follow the agent"))
}

/// How an agent is started.
struct Way<'a> {
    plan: &'a LaunchPlan,
    argv: Vec<String>,
    environment: BTreeMap<String, String>,
    /// Where it starts, if that is held already.
    working_directory: Option<Arc<OwnedFd>>,
}

impl Way<'_> {
    /// Returns the command up to its last steps, which are [`Making`]'s, the program included.
    fn command(&self) -> Command {
        let mut command = Command::new("agent");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.working_directory.is_none() {
            command.current_dir(&self.plan.working_directory);
        }
        command
    }

    /// Returns those last steps. `failed`: names the program.
    fn making(&self, failed: &impl Fn(io::Error) -> launch::Error) -> Result<(Making, PipeReader), launch::Error> {
        let program = Program::new(&self.argv, &self.environment).map_err(|nul| failed(nul.into()))?;
        Making::new(self.plan, program, self.working_directory.clone())
    }
}

/// Starts it under the filter. The inner error is the filter's: the agent may do without. `failed`: names the program.
fn with_own_port(
    way: &Way<'_>,
    failed: &impl Fn(io::Error) -> launch::Error,
) -> Result<Result<Agent, io::Error>, launch::Error> {
    let (ours, theirs) = UnixDatagram::pair().map_err(to("make a socket"))?;
    ours.set_nonblocking(true).map_err(to("make a socket"))?;
    let (mut making, failure) = way.making(failed)?;
    let spawned = sys::spawn(&mut way.command(), move || {
        making.begin()?;
        let binds = sys::notify_binds()?;
        let descriptors = [binds.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(&theirs, &[io::IoSlice::new(b"b")], &mut control, SendFlags::NOSIGNAL)?;
        making.finish()
    });
    match (spawned, receive_descriptor(&ours)) {
        (Ok(mut child), Some(binds)) => match pid_of(&child).and_then(may_look_into) {
            Ok(()) => agent(child, Some(binds), None).map(Ok).map_err(to("follow the agent")),
            Err(refused) => {
                child.kill().and_then(|()| child.wait()).map_err(to("end a process that cannot be looked into"))?;
                Ok(Err(refused))
            }
        },
        (Err(error), binds) => match (step(failure), binds) {
            (Some(ours), _) => Err(ours),
            // The filter stood when exec failed.
            (None, Some(_)) => Err(failed(error)),
            (None, None) => Ok(Err(error)),
        },
        (Ok(_), None) => Err(to("hear of bind calls")(io::Error::other("the new process sent no descriptor"))),
    }
}

/// Files that an agent may have open unless it asks for more. Source: the kernel's own default.
pub(crate) const OPEN_FILES: u64 = 1024;

/// What the new process does to become the agent's, or that of a program beside it.
struct Making {
    /// The sidecar, or who looks after the program for it.
    parent: Pid,
    confinement: Option<Confinement>,
    working_directory: Option<Arc<OwnedFd>>,
    program: Program,
    /// Takes the words for a step of ours that failed: what std hands on is a number, which would pass for the program's.
    failure: PipeWriter,
}

impl Making {
    /// Also returns where [`step`] finds what failed.
    fn new(
        plan: &LaunchPlan,
        program: Program,
        working_directory: Option<Arc<OwnedFd>>,
    ) -> Result<(Self, PipeReader), launch::Error> {
        let (failure_rx, failure) = io::pipe().map_err(to("make a pipe"))?;
        let making = Self {
            parent: rustix::process::getpid(),
            confinement: plan.walls.as_ref().map(Confinement::new).transpose()?,
            working_directory,
            program,
            failure,
        };
        Ok((making, failure_rx))
    }

    /// Cuts what ties it to us, but for our death.
    fn begin(&mut self) -> io::Result<()> {
        let ready = self.get_ready();
        self.tell(ready)?;
        // Last: the deployer's, who may have named one that its user may not enter.
        if let Some(directory) = &self.working_directory {
            rustix::process::fchdir(directory)?;
        }
        Ok(())
    }

    fn get_ready(&self) -> Result<(), launch::Error> {
        rustix::process::setsid().map_err(to("leave the sidecar's session"))?;
        match &self.confinement {
            Some(confinement) => confinement.become_agent()?,
            None => usual_open_files().map_err(to("limit open files"))?,
        }
        // After the change of user, which takes it back.
        die_with(self.parent).map_err(to("die with the sidecar"))?;
        sys::default_signals();
        Ok(())
    }

    /// Becomes the program; returns only with an error.
    fn finish(&mut self) -> io::Result<()> {
        let restricted = self.confinement.as_mut().map_or(Ok(()), Confinement::restrict);
        self.tell(restricted)?;
        Err(self.program.run())
    }

    /// Leaves word of a step of ours that failed.
    fn tell(&self, done: Result<(), launch::Error>) -> io::Result<()> {
        done.map_err(|error| {
            // The sidecar that reads it is there, or nobody is told.
            let _ = (&self.failure).write_all(error.to_string().as_bytes());
            io::Error::other(error)
        })
    }
}

/// Has the kernel kill this process when its `parent` ends.
pub(crate) fn die_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // One that died before that line sends no signal any more.
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Returns the step of ours that failed in a process that has not become its program, if one did. Call it once the process is gone,
/// and its [`Making`] here: it waits for the other end of the pipe.
fn step(mut failure: PipeReader) -> Option<launch::Error> {
    let mut words = String::new();
    failure.read_to_string(&mut words).ok().filter(|n| *n > 0).map(|_| launch::Error::Step(words))
}

/// Takes back what the server raised for itself: programs that use select() break above the usual limit. An agent that needs more
/// may raise it to the hard limit, as everywhere.
fn usual_open_files() -> io::Result<()> {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.current.min(Some(OPEN_FILES)).or(Some(OPEN_FILES));
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}

fn agent(mut child: Child, binds: Option<OwnedFd>, caveat: Option<String>) -> io::Result<Agent> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    match (pid, child.stdout.take(), child.stderr.take()) {
        (Some(pid), Some(stdout), Some(stderr)) => {
            Ok(Agent { pid, stdout: stdout.into(), stderr: stderr.into(), binds, caveat })
        }
        _ => Err(io::Error::other("the new process has no pipes")),
    }
}

fn receive_descriptor(socket: &UnixDatagram) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// Tries on the agent what every answer to a bind call needs. Refused where ptrace is for administrators only.
pub(crate) fn may_look_into(pid: Pid) -> io::Result<()> {
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    match rustix::process::pidfd_getfd(&process, 0, PidfdGetfdFlags::empty()) {
        // It is gone already; its exit tells more.
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::BADF) => Ok(()),
        tried => Ok(tried.map(drop)?),
    }
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn hint(program: &str, source: &io::Error) -> String {
    match source.raw_os_error() {
        Some(libc::ENOENT) if !program.contains('/') => {
            " (it is in no directory of PATH, or the interpreter that it names is not there)".to_owned()
        }
        Some(libc::ENOENT) => " (the program, or the interpreter that it names, is not there)".to_owned(),
        Some(libc::EACCES) => " (is it executable, and may the agent's user enter the working directory?)".to_owned(),
        Some(libc::ENOEXEC) => {
            let machine = std::env::consts::ARCH;
            format!(
                " (it is no program for this machine, {machine}, and no script whose first line names its interpreter)"
            )
        }
        _ => String::new(),
    }
}
