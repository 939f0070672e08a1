//! From a [`LaunchPlan`] on standard input to a running sidecar, answered in one line on standard output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use innkeep_protocol::link::{LaunchAnswer, LaunchPlan, PROTOCOL, SOCKET_FILE, STATE_FILE, SandboxFacts};
use rustix::process::DumpableBehavior;
use rustix::stdio;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::children::Children;
use crate::logs::Logs;
use crate::{agent, link, supervise, sys};

/// The most of a plan that is read, bytes: an environment is 4 KiB by contract, a command line 128 KiB by the kernel.
const MAX_PLAN: u64 = 1 << 20;

/// A sandbox that runs, not yet looked after.
pub(crate) struct Launched {
    pub(crate) plan: LaunchPlan,
    pub(crate) listener: OwnedFd,
    pub(crate) agent: Agent,
    pub(crate) logs: Logs,
    pub(crate) children: Children,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("could not {what}: {source}")]
    Host { what: &'static str, source: io::Error },
    #[error(transparent)]
    Agent(#[from] agent::Error),
}

/// Launches. The process that was called ends at once; what goes on is its child, which nobody has to wait for.
pub(crate) fn run() -> ExitCode {
    sys::close_inherited();
    let forked = read_plan().map_err(to("read the plan")).and_then(|plan| Ok((plan, sys::fork().map_err(to("fork"))?)));
    match forked {
        Ok((_, sys::Fork::Parent)) => ExitCode::SUCCESS,
        Ok((plan, sys::Fork::Child)) => sidecar(plan),
        Err(error) => refuse(&error),
    }
}

fn sidecar(plan: LaunchPlan) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => return refuse(&Error::Host { what: "start the runtime", source }),
    };
    runtime.block_on(async {
        let mut launched = match set_up(plan) {
            Ok(launched) => launched,
            Err(error) => return refuse(&error),
        };
        match introduce(&launched) {
            Ok(()) => supervise::run(launched).await.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
            Err(error) => {
                // Nobody has heard of the sandbox. What the agent has started by now would survive us.
                launched.children.kill_all().await;
                refuse(&error)
            }
        }
    })
}

fn set_up(plan: LaunchPlan) -> Result<Launched, Error> {
    rustix::process::setsid().map_err(to("leave the server's session"))?;
    // Every name of ours is relative from here on: socket paths are limited to 108 bytes.
    rustix::process::chdir(&plan.directory).map_err(to("enter the sandbox directory"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(to("become the subreaper"))?;
    let logs = Logs::open(&plan.log_file).map_err(to("open the log"))?;
    // listen() here and not in the parent: SO_PEERCRED names the process that called it.
    let listener = link::listen(Path::new(SOCKET_FILE)).map_err(to("listen on the control socket"))?;
    let child_ended = signal(SignalKind::child()).map_err(to("watch for the end of processes"))?;
    let agent = agent::start(&plan)?;
    let children = Children::new(agent.pid, child_ended);
    Ok(Launched { plan, listener, agent, logs, children })
}

/// Leaves the sandbox's facts in its directory and answers the server with them.
fn introduce(Launched { plan, agent, .. }: &Launched) -> Result<(), Error> {
    // Only now: what the agent's process is until its exec, it has from us, and bind.rs must be able to look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(to("hide from the agent"))?;
    let facts = SandboxFacts {
        protocol: PROTOCOL,
        sandbox: plan.sandbox.clone(),
        pid: rustix::process::getpid().as_raw_pid(),
        start_time: start_time().map_err(to("read the start time"))?,
        boot_id: boot_id().map_err(to("read the boot id"))?,
        caveat: agent.caveat.clone(),
    };
    write_file(STATE_FILE, &facts).map_err(to("write the state file"))?;
    hand_over(&LaunchAnswer::Started(facts)).map_err(to("answer the server"))
}

/// Writes `value` as JSON to `name` in the sandbox directory, all of it or none.
pub(crate) fn write_file(name: &str, value: &impl serde::Serialize) -> io::Result<()> {
    let new = format!("{name}.new");
    std::fs::write(&new, serde_json::to_vec(value)?)?;
    std::fs::rename(new, name)
}

fn to<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Host { what, source: source.into() }
}

fn read_plan() -> io::Result<LaunchPlan> {
    let mut plan = Vec::new();
    io::stdin().take(MAX_PLAN).read_to_end(&mut plan)?;
    Ok(serde_json::from_slice(&plan)?)
}

fn refuse(error: &Error) -> ExitCode {
    let message = error.to_string();
    // If nobody reads this, nobody is left to be told.
    let _ = answer(&match error {
        Error::Agent(_) => LaunchAnswer::AgentFailed(message),
        Error::Host { .. } => LaunchAnswer::Failed(message),
    });
    ExitCode::FAILURE
}

fn answer(answer: &LaunchAnswer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Answers, and closes the server's pipes so that its reading ends.
fn hand_over(started: &LaunchAnswer) -> io::Result<()> {
    answer(started)?;
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
