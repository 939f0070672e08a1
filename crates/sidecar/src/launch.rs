//! From a [`LaunchPlan`] on standard input to a running sidecar, answered in one line on standard output.
//!
//! ```text
//! launcher  control groups entered ─► plan read ─► network joined ─► forked ─► ids mapped ─► "go" ──────────► answer handed on, exits
//! sidecar                                                        └── waits ──────────┴─► walls, agent ─► answer
//! ```
//!
//! A sandbox inside of a zygote's is forked in two steps: see `walls::nest`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use innkeep_protocol::link::{Fork, LaunchAnswer, LaunchPlan, PROTOCOL, SOCKET_FILE, STATE_FILE, SandboxFacts};
use innkeep_protocol::walls::Walls;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use rustix::stdio;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::children::Children;
use crate::keeper::Sockets;
use crate::logs::Logs;
use crate::place::Place;
use crate::walls::Prepared;
use crate::walls::nest::{Birth, Nest};
use crate::{agent, fork, link, supervise, sys, walls};

/// The most of a plan that is read, bytes: an environment is 4 KiB by contract, a command line 128 KiB by the kernel, the filters
/// of system calls are 50 KiB.
const MAX_PLAN: u64 = 1 << 20;

/// A sandbox that runs, not yet looked after.
pub(crate) struct Launched {
    pub(crate) plan: LaunchPlan,
    pub(crate) place: Rc<Place>,
    pub(crate) listener: OwnedFd,
    pub(crate) agent: Agent,
    pub(crate) logs: Logs,
    pub(crate) children: Children,
    /// Where the agent reports, if it is a zygote.
    pub(crate) reports: Option<OwnedFd>,
    /// Where the agent of an image started, and programs beside it do.
    pub(crate) start: Option<Arc<OwnedFd>>,
    fork: Fork,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not {what}: {source}")]
    Host { what: &'static str, source: io::Error },
    /// A step of ours in the new process of the agent's, in its own words.
    #[error("{0}")]
    Step(String),
    #[error(transparent)]
    Agent(#[from] agent::Error),
}

impl Error {
    fn into_answer(self) -> LaunchAnswer {
        match self {
            Self::Agent(error) => LaunchAnswer::AgentFailed(error.to_string()),
            error @ (Self::Host { .. } | Self::Step(_)) => LaunchAnswer::Failed(error.to_string()),
        }
    }
}

/// Names what failed.
pub(crate) fn to<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Host { what, source: source.into() }
}

/// Launches. The process that was called ends as soon as it has an answer; what goes on is its child, which nobody has to wait for.
pub(crate) fn run() -> ExitCode {
    sys::close_inherited();
    let plan = enter_groups().and_then(|()| read_plan().map_err(to("read the plan")));
    let answer = match plan.and_then(go_apart) {
        Ok(Forked::Sidecar(exit)) => return exit,
        Ok(Forked::Launcher(answer)) => answer,
        Err(error) => error.into_answer(),
    };
    // If nobody reads this, nobody is left to be told.
    let _ = send(&answer, &mut io::stdout().lock());
    if matches!(answer, LaunchAnswer::Started(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Which side of the fork went on to its end, and how.
enum Forked {
    Launcher(LaunchAnswer),
    Sidecar(ExitCode),
}

/// Forks; from there on launcher and sidecar go their own ways.
fn go_apart(plan: LaunchPlan) -> Result<Forked, Error> {
    let place = Place::open(&plan).map_err(to("open the sandbox directory"))?;
    let prepared = plan.walls.as_ref().map(walls::before_fork).transpose()?.unwrap_or_default();
    let (go_rx, go_tx) = io::pipe().map_err(to("make a pipe"))?;
    let (answer_rx, answer_tx) = io::pipe().map_err(to("make a pipe"))?;
    let nest = plan.walls.as_ref().and_then(|walls| Nest::open(walls, groups()));
    match bear(&plan, nest.as_ref())? {
        Birth::Launcher { sidecar, process } => {
            drop((go_rx, answer_tx));
            let nest = nest.and_then(Result::ok);
            let answer = answer_of(&plan, &place, &prepared, (sidecar, nest), go_tx, answer_rx);
            answer.map(Forked::Launcher).inspect_err(|_| kill(&process))
        }
        Birth::Sidecar => {
            drop((go_tx, answer_rx));
            let zygote = match nest {
                None => Zygote::NotAsked,
                Some(Ok(nest)) => Zygote::Asked(nest.into_socket()),
                Some(Err(error)) => Zygote::OutOfReach(error.to_string()),
            };
            Ok(Forked::Sidecar(sidecar(plan, place, (prepared, zygote), go_rx, answer_tx)))
        }
        Birth::Between => Ok(Forked::Sidecar(ExitCode::SUCCESS)),
    }
}

/// The zygote that the agent is to be forked from.
enum Zygote {
    NotAsked,
    Asked(OwnedFd),
    /// Why not, for people.
    OutOfReach(String),
}

/// Forks, into the nest if there is one.
fn bear(plan: &LaunchPlan, nest: Option<&Result<Nest, Error>>) -> Result<Birth, Error> {
    let namespaces = plan.walls.as_ref().map_or(0, walls::namespaces);
    if let (Some(walls), Some(Ok(nest))) = (&plan.walls, nest) {
        return nest.fork(walls, namespaces);
    }
    match sys::fork_into(namespaces).map_err(to("make namespaces"))? {
        sys::Fork::Child => Ok(Birth::Sidecar),
        sys::Fork::Parent(sidecar) => {
            let process = rustix::process::pidfd_open(sidecar, PidfdFlags::empty()).map_err(to("hold the sidecar"))?;
            Ok(Birth::Launcher { sidecar, process })
        }
    }
}

/// Lets the child go on and returns its answer, with the child's pid as the host sees it; leaves it in the sandbox directory too.
fn answer_of(
    plan: &LaunchPlan,
    place: &Place,
    prepared: &Prepared,
    (child, nest): (Pid, Option<Nest>),
    mut go: PipeWriter,
    mut answer: PipeReader,
) -> Result<LaunchAnswer, Error> {
    if let Some(walls) = &plan.walls {
        match &nest {
            // Its ids were mapped before it was born.
            Some(_) if walls.first_id.is_some() => {}
            _ => walls::after_fork(walls, prepared, child)?,
        }
    }
    if let Some(nest) = nest {
        nest.hand_over(child)?;
    }
    go.write_all(b"g").map_err(to("let the sidecar go"))?;
    let mut json = Vec::new();
    answer.read_to_end(&mut json).map_err(to("hear from the sidecar"))?;
    let mut answer = serde_json::from_slice(&json).map_err(to("understand the sidecar"))?;
    if let LaunchAnswer::Started(facts) = &mut answer {
        facts.pid = child.as_raw_pid();
        place.write(STATE_FILE, facts).map_err(to("write the state file"))?;
    }
    Ok(answer)
}

fn kill(child: &OwnedFd) {
    // One that is gone already is what we want, and so is one that is another's to wait for.
    let _ = rustix::process::pidfd_send_signal(child, Signal::KILL);
    let _ = rustix::process::waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
}

/// The child's whole life.
fn sidecar(
    plan: LaunchPlan,
    place: Place,
    (prepared, zygote): (Prepared, Zygote),
    go: PipeReader,
    mut answer: PipeWriter,
) -> ExitCode {
    let place = Rc::new(place);
    let ready = settle(&plan, &place, prepared, go).and_then(|settled| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok((settled, runtime.map_err(to("start the runtime"))?))
    });
    let (settled, runtime) = match ready {
        Ok(ready) => ready,
        Err(error) => return refuse(error, &mut answer),
    };
    runtime.block_on(async {
        let mut launched = match set_up(plan, place, settled, zygote) {
            Ok(launched) => launched,
            Err(error) => return refuse(error, &mut answer),
        };
        match introduce(&launched, &mut answer) {
            Ok(()) => {
                drop(answer);
                supervise::run(launched).await.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
            }
            Err(error) => {
                // Nobody has heard of the sandbox. What the agent has started by now would survive us.
                launched.children.kill_all().await;
                refuse(error, &mut answer)
            }
        }
    })
}

/// What a sidecar has once the walls stand.
struct Settled {
    /// The control socket.
    listener: OwnedFd,
    /// Where the agent of an image starts.
    place: Option<OwnedFd>,
    /// What a zygote gets.
    sockets: Option<Sockets>,
}

/// Cuts what ties the process to the server, waits for the launcher's word, listens on the control socket and raises the walls.
fn settle(plan: &LaunchPlan, place: &Place, prepared: Prepared, mut go: PipeReader) -> Result<Settled, Error> {
    silence().map_err(to("open /dev/null"))?;
    rustix::process::setsid().map_err(to("leave the server's session"))?;
    // Its end without a word is the launcher's.
    go.read_exact(&mut [0]).map_err(to("wait for the launcher"))?;
    let walls = plan.walls.as_ref();
    let sources = walls.map(|walls| walls::open_sources(walls, prepared)).transpose()?;
    // Every name of ours is relative from here on: socket paths are limited to 108 bytes.
    rustix::process::fchdir(&place.directory).map_err(to("enter the sandbox directory"))?;
    let listener = link::listen(Path::new(SOCKET_FILE)).map_err(to("listen on the control socket"))?;
    let keeps_zygote = walls.is_some_and(Walls::keeps_zygote);
    let sockets = keeps_zygote.then(Sockets::new).transpose().map_err(to("make the zygote's sockets"))?;
    let place = match (walls, sources) {
        (Some(walls), Some(sources)) => walls::raise(walls, sources, &plan.working_directory)?,
        _ => None,
    };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(to("become the subreaper"))?;
    Ok(Settled { listener, place, sockets })
}

fn set_up(plan: LaunchPlan, place: Rc<Place>, settled: Settled, zygote: Zygote) -> Result<Launched, Error> {
    let Settled { listener, place: start, sockets } = settled;
    let start = start.map(Arc::new);
    let logs = Logs::open(Rc::clone(&place)).map_err(to("open the log"))?;
    let child_ended = signal(SignalKind::child()).map_err(to("watch for the end of processes"))?;
    // Before there is anybody to look. What the agent's process is until its exec, it has from us; then it is its own.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(to("hide from the agent"))?;
    if let Some(sockets) = sockets {
        let sockets = Arc::new(sockets);
        let agent = agent::start_zygote(&plan, &sockets)?;
        let children = Children::new(agent.pid, child_ended, true);
        let reports = Arc::into_inner(sockets).map(Sockets::into_reports);
        return Ok(Launched { plan, place, listener, agent, logs, children, reports, start, fork: Fork::NotAsked });
    }
    let (agent, fork) = forked_or_started(&plan, start.clone(), zygote)?;
    let children = Children::new(agent.pid, child_ended, false);
    Ok(Launched { plan, place, listener, agent, logs, children, reports: None, start, fork })
}

/// Has the agent forked if that was asked for; else, or if it cannot be, starts its program.
fn forked_or_started(plan: &LaunchPlan, place: Option<Arc<OwnedFd>>, zygote: Zygote) -> Result<(Agent, Fork), Error> {
    let fork = match (zygote, &plan.walls) {
        (Zygote::Asked(socket), Some(walls)) => match fork::fork(plan, walls, &socket) {
            Ok(agent) => return Ok((agent, Fork::Done)),
            Err(error) => Fork::Failed(error.to_string()),
        },
        (Zygote::OutOfReach(why), _) => Fork::Failed(why),
        _ => Fork::NotAsked,
    };
    Ok((agent::start(plan, place)?, fork))
}

/// Tells the launcher what the sandbox is.
fn introduce(Launched { plan, agent, fork, .. }: &Launched, launcher: &mut PipeWriter) -> Result<(), Error> {
    let facts = SandboxFacts {
        protocol: PROTOCOL,
        sandbox: plan.sandbox.clone(),
        pid: rustix::process::getpid().as_raw_pid(),
        start_time: start_time().map_err(to("read the start time"))?,
        boot_id: boot_id().map_err(to("read the boot id"))?,
        caveat: agent.caveat.clone(),
        fork: fork.clone(),
    };
    send(&LaunchAnswer::Started(facts), launcher).map_err(to("answer the launcher"))
}

/// Enters the control groups whose `cgroup.procs` the arguments name. First of all: a launcher may wait for its plan, and this is
/// what takes long.
fn enter_groups() -> Result<(), Error> {
    groups().try_for_each(|group| std::fs::write(group, "0")).map_err(to("enter a control group"))
}

fn groups() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(2)
}

fn read_plan() -> io::Result<LaunchPlan> {
    let mut plan = Vec::new();
    io::stdin().take(MAX_PLAN).read_to_end(&mut plan)?;
    Ok(serde_json::from_slice(&plan)?)
}

fn refuse(error: Error, launcher: &mut PipeWriter) -> ExitCode {
    // If nobody reads this, nobody is left to be told.
    let _ = send(&error.into_answer(), launcher);
    ExitCode::FAILURE
}

fn send(answer: &LaunchAnswer, to: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Lets go of the server's pipes: its reading ends with the launcher.
fn silence() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    stdio::dup2_stdin(&null)?;
    stdio::dup2_stdout(&null)?;
    Ok(stdio::dup2_stderr(&null)?)
}

fn start_time() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The command's name, field 2, may hold anything; field 3 follows the last bracket.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field_22 = after_name.split_ascii_whitespace().nth(22 - 3).and_then(|field| field.parse().ok());
    field_22.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
