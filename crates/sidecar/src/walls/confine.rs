//! What the agent's process gives up between its fork and its program.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use innkeep_protocol::walls::{Base, Identity, Root, Walls};
use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::agent::OPEN_FILES;
use crate::launch::{Error, to};
use crate::sys;

/// The newest landlock that the rules are written for; an older kernel enforces what it knows of them.
const LANDLOCK: ABI = ABI::V6;

/// Out of memory, the kernel chooses the agent, and never the sidecar. Source: our choice, of 0 to 1000.
const OOM_SCORE: &str = "500";

/// Signals and timers that may wait at one time, in one process namespace. Source: our choice; programs use a handful.
const SIGNALS: u64 = 1024;

/// Bytes in POSIX message queues. Source: our choice; the kernel's default is 819200.
const MESSAGE_BYTES: u64 = 65_536;

/// Directories of the base that are not to be written, whatever else permits it.
const READ_ONLY_HOST: [&str; 7] = ["usr", "etc", "bin", "sbin", "lib", "lib64", "sys"];

/// Made by the sidecar, applied in the agent's process.
#[derive(Debug)]
pub(crate) struct Confinement {
    /// Who it becomes; none where there is one user only.
    agent: Option<Identity>,
    open_files: u64,
    processes: Option<u64>,
    landlock: Option<RulesetCreated>,
    /// The agent is a zygote.
    is_zygote: bool,
    filter: Vec<libc::sock_filter>,
}

impl Confinement {
    /// Prepares all that allocates. Called behind the walls.
    pub(crate) fn new(walls: &Walls) -> Result<Self, Error> {
        Ok(Self {
            agent: walls.first_id.map(|_| walls.agent.clone()),
            open_files: walls.open_files,
            processes: walls.processes,
            landlock: rules(walls)?,
            is_zygote: walls.keeps_zygote(),
            filter: walls.seccomp.iter().copied().map(sys::unpack).collect(),
        })
    }

    /// Limits the process and makes it the agent's user.
    pub(crate) fn become_agent(&self) -> Result<(), Error> {
        // A process that is not dumpable may not write its own score. It is ours still, and nobody is here who could trace it.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(to("score the agent"))?;
        fs::write("/proc/self/oom_score_adj", OOM_SCORE).map_err(to("score the agent"))?;
        let limits = || {
            limit(Resource::Nofile, OPEN_FILES, self.open_files)?;
            limit(Resource::Core, 0, 0)?;
            // Counted for whoever made the namespace, so for all sandboxes of a server together.
            limit(Resource::Sigpending, SIGNALS, SIGNALS)?;
            limit(Resource::Msgqueue, MESSAGE_BYTES, MESSAGE_BYTES)?;
            self.processes.map_or(Ok(()), |processes| limit(Resource::Nproc, processes, processes))
        };
        limits().map_err(to("limit the agent"))?;
        if let Some(agent) = &self.agent {
            super::become_user(agent).map_err(to("become the agent's user"))?;
        }
        // An agent that is root would keep until its program what the sidecar has.
        let left = if self.is_zygote { super::powers::keep_entering() } else { super::powers::drop_all() };
        left.map_err(to("drop the agent's powers"))
    }

    /// Takes from the process what its program shall not have. The last step before the program.
    pub(crate) fn restrict(&mut self) -> Result<(), Error> {
        if let Some(landlock) = self.landlock.take() {
            landlock.restrict_self().map_err(|error| to("apply landlock")(io::Error::other(error)))?;
        }
        sys::install_filter(&mut self.filter).map_err(to("apply the filter of system calls"))
    }
}

/// Returns the rules of landlock for an agent behind these walls. A zygote has none, which its forks would be under besides their own:
/// whatever the rules say, they forbid to move a file from one directory to another where they do not name it, in a root file system
/// that is not theirs.
fn rules(walls: &Walls) -> Result<Option<RulesetCreated>, Error> {
    if walls.keeps_zygote() {
        return Ok(None);
    }
    ruleset(&walls.root).map(Some).map_err(to("make the rules of landlock"))
}

/// Returns the rules of an agent that is forked, for itself to be put under; none on a kernel without landlock.
pub(crate) fn rules_of_fork(walls: &Walls) -> Result<Option<OwnedFd>, Error> {
    Ok(rules(walls)?.and_then(Into::into))
}

/// Returns the limits of a forked agent as their names, and the two values of each.
pub(crate) fn limits_of_fork(walls: &Walls) -> Vec<(&'static str, u64, u64)> {
    let mut limits = vec![
        ("RLIMIT_NOFILE", OPEN_FILES, walls.open_files),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_SIGPENDING", SIGNALS, SIGNALS),
        ("RLIMIT_MSGQUEUE", MESSAGE_BYTES, MESSAGE_BYTES),
    ];
    limits.extend(walls.processes.map(|processes| ("RLIMIT_NPROC", processes, processes)));
    limits
}

/// Sets both limits of a resource, as far as the ones that we have ourselves permit.
fn limit(resource: Resource, current: u64, maximum: u64) -> rustix::io::Result<()> {
    let ours = rustix::process::getrlimit(resource).maximum;
    let maximum = ours.map_or(maximum, |ours| ours.min(maximum));
    rustix::process::setrlimit(resource, Rlimit { current: Some(current.min(maximum)), maximum: Some(maximum) })
}

/// Returns the rules of files and signals: everything may be read, and written where a private layer lies; signals and abstract
/// sockets end at the agent's own processes.
fn ruleset(root: &Root) -> io::Result<RulesetCreated> {
    let all = AccessFs::from_all(LANDLOCK);
    let mut rules = Ruleset::default()
        .handle_access(all)
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let base = match root {
        // All of it is a private layer; `/sys` is mounted read-only, and in `/proc` nothing can be made.
        Root::Image { .. } => return allow(rules, Path::new("/"), all),
        Root::Base(base) => base,
    };
    rules = allow(rules, Path::new("/"), AccessFs::from_read(LANDLOCK))?;
    for place in writable(base)? {
        rules = allow(rules, &place, all)?;
    }
    // Threads are named there. Nothing can be made or removed in it, and what of it reaches the host is hidden or read-only.
    allow(rules, Path::new("/proc"), AccessFs::from_read(LANDLOCK) | AccessFs::WriteFile)
}

fn allow(rules: RulesetCreated, place: &Path, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    let rule = PathFd::new(place).map_err(io::Error::other)?;
    let added: Result<_, RulesetError> = rules.add_rule(PathBeneath::new(rule, access));
    added.map_err(io::Error::other)
}

/// Returns the directories at the root that the agent may write to.
fn writable(base: &Base) -> io::Result<Vec<PathBuf>> {
    let mut places = Vec::new();
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let name = entry.file_name();
        let read_only = match base {
            Base::Host => READ_ONLY_HOST.iter().any(|fixed| name == *fixed),
            Base::Tree(_) => name == "sys",
        };
        if entry.file_type()?.is_dir() && name != "proc" && !read_only {
            places.push(entry.path());
        }
    }
    Ok(places)
}
