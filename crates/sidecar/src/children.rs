//! Every process of the sandbox: all are our children, sooner or later, because we are their subreaper.

use std::time::Duration;

use innkeep_types::AgentExit;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::Signal as Signals;
use tokio::time::{Instant, timeout};

/// How long [`Children::kill_all`] chases processes that multiply faster than they are killed.
const CHASE: Duration = Duration::from_secs(2);

/// Waits for processes and kills them.
pub(crate) struct Children {
    ended: Signals,
    agent: Pid,
    agent_exit: Option<AgentExit>,
    /// Some are the first processes of sandboxes inside of ours, which outlive the agent.
    has_lodgers: bool,
}

impl Children {
    /// Looks after `agent` and all others. `ended` brings SIGCHLD since before the first was started. `has_lodgers`: sandboxes inside
    /// of ours are nobody's to end.
    pub(crate) fn new(agent: Pid, ended: Signals, has_lodgers: bool) -> Self {
        Self { ended, agent, agent_exit: None, has_lodgers }
    }

    /// Waits for the end of the agent, reaping whatever else ends meanwhile.
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn agent_exit(&mut self) -> AgentExit {
        loop {
            self.reap();
            match self.agent_exit {
                Some(exit) => return exit,
                None => self.ended.recv().await,
            };
        }
    }

    /// Kills every process of the sandbox, generation after generation: what loses its parent becomes our child.
    pub(crate) async fn kill_all(&mut self) {
        let until = Instant::now() + CHASE;
        while Instant::now() < until {
            self.reap();
            let mut children = children();
            if self.has_lodgers {
                children.retain(|&child| !is_lodger(child));
            }
            if children.is_empty() {
                return;
            }
            for child in children {
                // One that is gone already is what we want.
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
            // Either the end of one of them, or the time to look again.
            let _ = timeout(Duration::from_millis(10), self.ended.recv()).await;
        }
    }

    /// Waits until no process is left.
    pub(crate) async fn none_left(&mut self) {
        loop {
            self.reap();
            if children().is_empty() {
                return;
            }
            self.ended.recv().await;
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.agent {
                self.agent_exit = Some(exit(status));
            }
        }
    }
}

/// Sends a signal to the agent's process group.
pub(crate) fn signal_group(agent: Pid, signal: Signal) {
    // A group that is gone already needs no signal.
    let _ = rustix::process::kill_process_group(agent, signal);
}

/// Returns how a process ended.
pub(crate) fn exit(status: WaitStatus) -> AgentExit {
    match status.terminating_signal() {
        Some(signal) => AgentExit::Signal(signal),
        None => AgentExit::Code(status.exit_status().unwrap_or_default()),
    }
}

/// Tells whether a process is the first one of a process namespace inside of ours. It hides, even from us: one that we may look into and
/// that is in our own namespace is none.
fn is_lodger(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap_or_default();
    let names = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    names.is_none_or(|names| names.split_ascii_whitespace().count() > 1)
}

/// Returns the processes that are ours to wait for.
pub(crate) fn children() -> Vec<Pid> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
