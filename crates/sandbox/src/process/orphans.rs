//! What outlives a sidecar that was killed. The kernel ends the agent with it, but not what the agent started; and what has a new
//! session, or lost its parent, is nobody's any more. Only the environment still tells whose it was.
//!
//! Where the server is PID 1, as in a container, what loses its parent becomes the server's child, and once it has ended a zombie
//! until it is waited for. It is waited for by descriptor, one process at a time: tokio waits for the children that it started.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use innkeep_types::SandboxId;
use rustix::process::{Pid, PidfdFlags, Signal};
use tracing::warn;

use crate::local::reap;

/// The variable that names the sandbox to its agent and to all that the agent starts.
pub(crate) const MARK: &str = "INNKEEP_SANDBOX";

/// How often is looked for more, and how long is waited between.
const ROUNDS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Kills every process of a sandbox whose sidecar is gone, and waits until none is left. `agent`: its agent, which may have ended
/// with the sidecar.
pub(crate) async fn kill(sandbox: &SandboxId, agent: Option<OwnedFd>) {
    let sandbox = sandbox.clone();
    let killed = tokio::task::spawn_blocking(move || {
        let mark = format!("{MARK}={sandbox}");
        let mut dying = Vec::from_iter(agent);
        for _ in 0..ROUNDS {
            let marked = kill_marked(&mark);
            let n_found = marked.len();
            dying.extend(marked);
            dying.retain(|process| !reap(process.as_fd()));
            if n_found == 0 && dying.is_empty() {
                return;
            }
            thread::sleep(PAUSE);
        }
        warn!(sandbox.id = %sandbox, "processes of sandbox {sandbox} resist being killed");
    });
    // An error is the runtime's own end.
    let _ = killed.await;
}

/// Returns what it found.
fn kill_marked(mark: &str) -> Vec<OwnedFd> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let kill = |pid: Pid| {
        // Held before it is looked at: what is killed is then what was looked at, whoever has the number afterwards.
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
        let is_marked = environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes());
        // One that has ended meanwhile is what we want.
        let _ = is_marked.then(|| rustix::process::pidfd_send_signal(&process, Signal::KILL));
        is_marked.then_some(process)
    };
    pids.filter_map(kill).collect()
}
