//! The process above one program: starts it, adopts what it leaves, and ends with nothing of it left.
//!
//! ```text
//! starts ── could not ──► Refused, gone
//!   └─► Started ─► the program ends ─► a moment for the rest ─► all killed ─► Exited, gone
//!           └───── the sidecar's end of the socket is shut ────────┘
//! ```
//!
//! A fork of the sidecar, which has one thread: it shares nothing that it could spoil, closes what is not its own, and never returns.
//! It dies with the sidecar, and the program with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::LaunchPlan;
use innkeep_protocol::link::exec::{ExecPlan, ExecProgram, ExecRefusal, FromExec};
use innkeep_types::AgentExit;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::{send, words};
use crate::agent::{self, Streams};
use crate::children::{self, exit};
use crate::launch::Error;
use crate::program::Program;
use crate::sys::{self, Fork};

/// What is called a shell. Some images have one elsewhere; one that is found by name is called by it, as some programs are several.
const SHELLS: [&str; 4] = ["/bin/bash", "bash", "/bin/sh", "sh"];

/// How long what a program has started may end by itself once the program has: `cmd > >(tee log)` leaves a `tee` that still writes.
const LEFTOVERS: Duration = Duration::from_millis(100);

/// How long processes are chased that multiply faster than they are killed. What is left then is the sidecar's to kill.
const CHASE: Duration = Duration::from_secs(2);

/// How often orphans are reaped.
const REAP: Duration = Duration::from_secs(1);

/// How often is looked for more, once all are to end.
const PAUSE: Duration = Duration::from_millis(2);

/// What a warden does.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) launch: Arc<LaunchPlan>,
    /// Where the program starts, if that is held.
    pub(super) start: Option<Arc<OwnedFd>>,
    pub(super) plan: ExecPlan,
    pub(super) streams: Streams,
}

/// Forks a warden and returns where it is heard. Shutting that down, or closing it, kills the program.
pub(super) fn start(order: Order) -> io::Result<AsyncFd<OwnedFd>> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let sidecar = rustix::process::getpid();
    match sys::fork_into(0)? {
        Fork::Parent(_) => sys::watch(ours),
        Fork::Child => {
            // A warden that unwound would go on as a second sidecar.
            let _ = catch_unwind(AssertUnwindSafe(|| run(order, sidecar, &theirs)));
            sys::leave()
        }
    }
}

fn run(order: Order, sidecar: Pid, socket: &OwnedFd) {
    // First: the runtime's handlers write to descriptors that are about to be closed.
    sys::default_signals();
    let started = cut_loose(&order, sidecar, socket).and_then(|()| start_program(order));
    let told = match &started {
        Ok(_) => FromExec::Started,
        Err(refusal) => FromExec::Refused(refusal.clone()),
    };
    // A sidecar that does not hear it is gone, and so are we in a moment.
    let _ = send(socket, &told);
    if let Ok(program) = started {
        let exit = Warden { program, exit: None }.watch(socket.as_fd());
        let _ = send(socket, &FromExec::Exited(exit));
    }
}

/// Dies with the sidecar, adopts, and lets go of all that is the sidecar's alone.
fn cut_loose(order: &Order, sidecar: Pid, socket: &OwnedFd) -> Result<(), ExecRefusal> {
    let failed = |error: io::Error| ExecRefusal::Failed(format!("could not get ready: {error}"));
    agent::die_with(sidecar).map_err(failed)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| failed(error.into()))?;
    let mut kept: Vec<BorrowedFd<'_>> = vec![socket.as_fd()];
    kept.extend(order.start.as_ref().map(AsFd::as_fd));
    match &order.streams {
        Streams::Three(three) => kept.extend(three.iter().map(AsFd::as_fd)),
        Streams::Terminal(terminal) => kept.push(terminal.as_fd()),
    }
    sys::close_all_but(&kept);
    Ok(())
}

fn start_program(order: Order) -> Result<Pid, ExecRefusal> {
    let Order { launch, start, plan, streams } = order;
    let mut environment = launch.environment.clone();
    environment.extend(plan.environment);
    let (name, program) = match &plan.program {
        ExecProgram::Shell => ("a shell", Program::first_of(&SHELLS, &plan.arguments, &environment)),
        ExecProgram::Named(name) => (name.as_str(), Program::first_of(&[name], &plan.arguments, &environment)),
    };
    let program = program.map_err(|_| ExecRefusal::Program("an argument or a variable has a null byte".to_owned()))?;
    agent::start_beside(&launch, start, (name, program), streams).map_err(|error| match error {
        Error::Agent(agent::Error::Exec { source, .. })
            if plan.program == ExecProgram::Shell && source.kind() == io::ErrorKind::NotFound =>
        {
            ExecRefusal::NoShell
        }
        Error::Agent(error) => ExecRefusal::Program(words(error.to_string())),
        error => ExecRefusal::Failed(words(error.to_string())),
    })
}

struct Warden {
    program: Pid,
    exit: Option<AgentExit>,
}

impl Warden {
    /// Watches the program to its end, and the end of all that it started.
    fn watch(mut self, socket: BorrowedFd<'_>) -> AgentExit {
        if self.until_end(socket) {
            let until = Instant::now() + LEFTOVERS;
            while Instant::now() < until && self.is_anybody_left() && !wait(&[socket], PAUSE) {}
        }
        let until = Instant::now() + CHASE;
        while self.is_anybody_left() && Instant::now() < until {
            for child in children::children() {
                // One that is gone already is what we want.
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
            wait(&[], PAUSE);
        }
        self.exit.unwrap_or(AgentExit::Signal(Signal::KILL.as_raw()))
    }

    /// Waits until the program ends, or shall. Tells whether it has ended by itself.
    fn until_end(&mut self, socket: BorrowedFd<'_>) -> bool {
        // One that cannot be held is looked at as often as orphans are.
        let held = rustix::process::pidfd_open(self.program, PidfdFlags::empty());
        let watched: Vec<_> = std::iter::once(socket).chain(held.as_ref().ok().map(AsFd::as_fd)).collect();
        loop {
            self.reap();
            if self.exit.is_some() {
                return true;
            }
            wait(&watched, REAP);
            if wait(&[socket], Duration::ZERO) {
                return false;
            }
        }
    }

    fn is_anybody_left(&mut self) -> bool {
        self.reap();
        !children::children().is_empty()
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.program {
                self.exit = Some(exit(status));
            }
        }
    }
}

/// Waits until one of these has something to say, or `patience` is over. Tells whether one has.
fn wait(on: &[BorrowedFd<'_>], patience: Duration) -> bool {
    let mut polled: Vec<_> = on.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let patience = Timespec::try_from(patience).ok();
    // An error is an interruption: whoever waits looks again.
    rustix::event::poll(&mut polled, patience.as_ref()).is_ok_and(|n_ready| n_ready > 0)
}
