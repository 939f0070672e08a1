//! Asks a zygote for the agent: an interpreter in another sandbox forks, and its child enters this one.
//!
//! ```text
//! sidecar                                  zygote
//!  │ ── what to run, its output's pipes, its rules ─►│ forks, enters our namespaces, becomes the agent's user, gives all powers up
//!  │ ◄─ ready{pid} + where its binds arrive ─────────│
//!  │    looked at: is it what an agent has to be?    │
//!  │ ── go ─────────────────────────────────────────►│ runs the agent's script
//! ```
//!
//! The zygote is the deployer's code, and nothing that it says is believed: what comes is either a process like any agent's, by the
//! kernel's word, or it is killed and the agent started from its program.

use std::collections::BTreeMap;
use std::fs;
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

/// Namespaces that the agent shares with its sidecar.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

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
    Ready { pid: i32 },
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
    let (answer, binds) = receive(zygote)?;
    let pid = match answer {
        Answer::Ready { pid } => pid,
        Answer::Failed(why) => return Err(Error::Refused(why)),
    };
    let pid = Pid::from_raw(pid).filter(|pid| children::children().contains(pid)).ok_or_else(|| unfit("no child"))?;
    check(pid, walls)?;
    let binds = binds.ok_or_else(|| unfit("it sent no descriptor of its binds"))?;
    agent::may_look_into(pid).map_err(to("look into the agent"))?;
    nest::send(zygote, b"go", &[]).map_err(to("let the agent go"))?;
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

fn receive(zygote: &OwnedFd) -> Result<(Answer, Option<OwnedFd>), Error> {
    let mut frame = vec![0; MAX_FRAME];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut frame)];
    let received = rustix::net::recvmsg(zygote, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
    let received = received.map_err(to("hear from the zygote"))?;
    if received.bytes == 0 {
        return Err(Error::Refused("it ended".to_owned()));
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let answer = serde_json::from_slice(frame.get(..received.bytes).unwrap_or_default());
    Ok((answer.map_err(to("understand the zygote"))?, descriptor))
}

fn unfit(why: impl Into<String>) -> Error {
    Error::Unfit(why.into())
}

/// Compares a process with what every agent is.
fn check(pid: Pid, walls: &Walls) -> Result<(), Error> {
    let read = |of: &str, name: &str| fs::read_to_string(format!("/proc/{of}/{name}")).map_err(to("look at the agent"));
    let agent = pid.as_raw_pid().to_string();
    let (user, group) = match walls.first_id {
        Some(_) => (walls.agent.user, walls.agent.group),
        None => (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
    };
    compare(&read(&agent, "status")?, (user, group), walls.first_id.is_some()).map_err(unfit)?;
    if read(&agent, "cgroup")? != read("self", "cgroup")? {
        return Err(unfit("it is in other control groups"));
    }
    for name in NAMESPACES {
        let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/{name}")).map_err(to("look at the agent"));
        if namespace(&agent)? != namespace("self")? {
            return Err(unfit(format!("it is in another {name} namespace")));
        }
    }
    Ok(())
}

/// Compares `/proc/PID/status` with what an agent's says.
fn compare(status: &str, (user, group): (u32, u32), has_users: bool) -> Result<(), String> {
    let none = "0000000000000000".to_owned();
    let four = |id: u32| format!("{id} {id} {id} {id}");
    let mut expected = vec![
        ("PPid", rustix::process::getpid().as_raw_pid().to_string()),
        ("Uid", four(user)),
        ("Gid", four(group)),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
        ("Threads", "1".to_owned()),
    ];
    expected.extend(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| (set, none.clone())));
    if has_users {
        expected.push(("Groups", String::new()));
    }
    for (field, value) in expected {
        let found = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let found = found.unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if found != value {
            return Err(format!("{field} is {found:?} and not {value:?}"));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(changed: &[(&str, &str)]) -> String {
        let us = rustix::process::getpid().as_raw_pid().to_string();
        let none = "0000000000000000";
        let mut fields = BTreeMap::from([
            ("PPid", us.as_str()),
            ("Uid", "1000\t1000\t1000\t1000"),
            ("Gid", "1000\t1000\t1000\t1000"),
            ("Groups", " "),
            ("Threads", "1"),
            ("CapInh", none),
            ("CapPrm", none),
            ("CapEff", none),
            ("CapBnd", none),
            ("CapAmb", none),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
            ("Seccomp_filters", "2"),
        ]);
        fields.extend(changed.iter().copied());
        fields.iter().map(|(field, value)| format!("{field}:\t{value}\n")).collect()
    }

    #[test]
    fn only_a_process_like_an_agents_is_taken() {
        assert_eq!(compare(&status(&[]), (1000, 1000), true), Ok(()));
        for changed in [
            ("PPid", "7"),
            ("Uid", "1000\t0\t1000\t1000"),
            ("Gid", "1000\t1000\t1000\t0"),
            ("Groups", "0"),
            ("Threads", "2"),
            ("CapInh", "0000000000200000"),
            ("CapPrm", "0000000000000001"),
            ("CapEff", "000001ffffffffff"),
            ("CapBnd", "000001ffffffffff"),
            ("CapAmb", "0000000000200000"),
            ("NoNewPrivs", "0"),
            ("Seccomp", "0"),
        ] {
            let refused = compare(&status(&[changed]), (1000, 1000), true).unwrap_err();
            assert!(refused.starts_with(&format!("{} is ", changed.0)), "{refused}");
        }
        assert!(compare("", (1000, 1000), true).is_err());
        // Where there are no users, groups are nobody's to give up.
        assert_eq!(compare(&status(&[("Groups", "65534")]), (1000, 1000), false), Ok(()));
    }
}
