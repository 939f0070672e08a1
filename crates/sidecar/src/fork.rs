//! Asks a zygote for the agent: an interpreter in another sandbox forks, and its child enters this one.
//!
//! ```text
//! sidecar                                  zygote
//!  │ ── what to run, its output's pipes, its rules ─►│ forks, enters our namespaces, becomes the agent's user, gives all powers up
//!  │ ◄─ binds + where its binds arrive, ready{pid} ──│ lets go of the connection, and stops itself
//!  │    looked at: is it what an agent has to be?    │
//!  │ ── SIGCONT ────────────────────────────────────►│ runs the agent's script
//! ```
//!
//! The zygote is the deployer's code, and nothing that it says is believed: what comes is either a process like any agent's, by the
//! kernel's word, or it is killed and the agent started from its program.

mod check;

use std::collections::BTreeMap;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use innkeep_protocol::link::{LaunchPlan, MAX_FRAME};
use innkeep_protocol::walls::Walls;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agent::{self, Agent};
use crate::walls::{limits_of_fork, nest, rules_of_fork};
use crate::{children, sys};

/// How long a process that is not taken may resist its end.
const CHASE: Duration = Duration::from_secs(1);

/// The longest that it may take to stop itself. It takes microseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nothing tells of a stop that could be waited for so early.
const LOOK_AGAIN: Duration = Duration::from_micros(50);

/// Why there is no fork, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not {what}: {source}")]
    Host { what: &'static str, source: io::Error },
    #[error("{0}")]
    Walls(String),
    #[error("the zygote could not fork: {0}")]
    Refused(String),
    #[error("the zygote's fork is not what an agent has to be: {0}")]
    Unfit(String),
}

fn to<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Host { what, source: source.into() }
}

/// What is asked for.
#[derive(Debug, Serialize)]
struct Ask<'a> {
    argv: &'a [String],
    environment: &'a BTreeMap<String, String>,
    working_directory: &'a Path,
    /// Who it becomes; none where there is one user only.
    user: Option<u32>,
    group: Option<u32>,
    limits: Vec<(&'static str, u64, u64)>,
    /// Whether rules of landlock come along.
    landlock: bool,
    /// Its filter, hexadecimal.
    filter: String,
    /// The numbers of system calls here that Python has no names for.
    calls: Calls,
}

#[derive(Debug, Serialize)]
struct Calls {
    capset: libc::c_long,
    seccomp: libc::c_long,
    landlock_restrict_self: libc::c_long,
}

/// What the zygote answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    /// Comes with a descriptor.
    Binds,
    Ready {
        pid: i32,
    },
    Failed(String),
}

/// Has the agent of `plan` forked. On an error nothing of it is left.
pub(crate) fn fork(plan: &LaunchPlan, walls: &Walls, zygote: &OwnedFd) -> Result<Agent, Error> {
    let forked = ask(plan, walls, zygote);
    if forked.is_err() {
        end_all();
    }
    forked
}

fn ask(plan: &LaunchPlan, walls: &Walls, zygote: &OwnedFd) -> Result<Agent, Error> {
    let (stdout, stderr) = send(plan, walls, zygote)?;
    let (pid, binds) = hear(zygote)?;
    let pid = Pid::from_raw(pid).filter(|pid| children::children().contains(pid)).ok_or_else(|| unfit("no child"))?;
    let binds = binds.ok_or_else(|| unfit("it sent no descriptor of its binds"))?;
    await_stop(pid)?;
    agent::may_look_into(pid).map_err(to("look into the agent"))?;
    check::check(pid, plan, walls, [&stdout, &stderr].map(AsFd::as_fd))?;
    rustix::process::kill_process(pid, Signal::CONT).map_err(to("let the agent go"))?;
    Ok(Agent { pid, stdout: stdout.into(), stderr: stderr.into(), binds: Some(binds), caveat: None })
}

/// Sends what the agent shall be, and returns where its output arrives.
fn send(plan: &LaunchPlan, walls: &Walls, zygote: &OwnedFd) -> Result<(PipeReader, PipeReader), Error> {
    let rules = rules_of_fork(walls).map_err(|error| Error::Walls(error.to_string()))?;
    let ask = Ask {
        argv: &plan.argv,
        environment: &plan.environment,
        working_directory: &plan.working_directory,
        user: walls.first_id.map(|_| walls.agent.user),
        group: walls.first_id.map(|_| walls.agent.group),
        limits: limits_of_fork(walls),
        landlock: rules.is_some(),
        filter: sys::filter_of_fork().iter().map(|byte| format!("{byte:02x}")).collect(),
        calls: Calls {
            capset: libc::SYS_capset,
            seccomp: libc::SYS_seccomp,
            landlock_restrict_self: libc::SYS_landlock_restrict_self,
        },
    };
    let frame = serde_json::to_vec(&ask).map_err(to("say what to run"))?;
    let (stdout, stdout_tx) = io::pipe().map_err(to("make a pipe"))?;
    let (stderr, stderr_tx) = io::pipe().map_err(to("make a pipe"))?;
    let mut descriptors = vec![stdout_tx.as_fd(), stderr_tx.as_fd()];
    descriptors.extend(rules.as_ref().map(AsFd::as_fd));
    nest::send(zygote, &frame, &descriptors).map_err(to("ask the zygote"))?;
    Ok((stdout, stderr))
}

/// Returns the agent's process, and where its binds arrive, once the other side has said all that it has to say.
fn hear(zygote: &OwnedFd) -> Result<(i32, Option<OwnedFd>), Error> {
    let mut binds = None;
    loop {
        match receive(zygote)? {
            (Some(Answer::Binds), descriptor) => binds = descriptor,
            (Some(Answer::Ready { pid }), _) => {
                // It has let go of its end, or it is not what it has to be.
                return match receive(zygote)? {
                    (None, _) => Ok((pid, binds)),
                    (Some(_), _) => Err(unfit("it says more than it has to")),
                };
            }
            (Some(Answer::Failed(why)), _) => return Err(Error::Refused(why)),
            (None, _) => return Err(Error::Refused("it ended".to_owned())),
        }
    }
}

/// Returns the next answer; none at the end of the connection.
fn receive(zygote: &OwnedFd) -> Result<(Option<Answer>, Option<OwnedFd>), Error> {
    let mut frame = vec![0; MAX_FRAME];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut frame)];
    // What the zygote does for us ends children of ours, and their signal interrupts us.
    let received =
        rustix::io::retry_on_intr(|| rustix::net::recvmsg(zygote, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC));
    let received = received.map_err(to("hear from the zygote"))?;
    if received.bytes == 0 {
        return Ok((None, None));
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let answer = serde_json::from_slice(frame.get(..received.bytes).unwrap_or_default());
    Ok((Some(answer.map_err(to("understand the zygote"))?), descriptor))
}

fn unfit(why: impl Into<String>) -> Error {
    Error::Unfit(why.into())
}

/// Waits until the process has stopped itself: then it does nothing while it is looked at.
fn await_stop(pid: Pid) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
        match rustix::process::waitpid(Some(pid), options).map_err(to("wait for the agent"))? {
            Some((_, status)) if status.stopped() => return Ok(()),
            Some(_) => return Err(unfit("it ended")),
            // Its connection is closed: this is its next step.
            None => std::thread::sleep(LOOK_AGAIN),
        }
    }
    Err(unfit("it does not stop to be looked at"))
}

/// Ends all that came to be in our sandbox.
fn end_all() {
    let until = Instant::now() + CHASE;
    while Instant::now() < until {
        let children = children::children();
        if children.is_empty() {
            return;
        }
        for child in children {
            // One that is gone already is what we want.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
    }
}
