//! Ends everything in a control group, whatever its state, and removes the group.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tracing::warn;

use super::Cgroup;
use super::files::write;
use super::layout::Version;

/// How often is tried, and how long is waited between: about 5 s. A process that does I/O may take its time to end.
const ROUNDS: u32 = 260;
const SHORT_PAUSE: Duration = Duration::from_millis(1);
const LONG_PAUSE: Duration = Duration::from_millis(20);
/// How many pauses are short. Most sandboxes are gone after the first.
const SHORT_ROUNDS: u32 = 10;

/// Blocks until the groups are gone, some seconds at most.
pub(super) fn remove(cgroup: &Cgroup) {
    let is_gone = (0..ROUNDS).any(|round| {
        kill(cgroup);
        let is_gone = remove_groups(cgroup);
        if !is_gone {
            thread::sleep(if round < SHORT_ROUNDS { SHORT_PAUSE } else { LONG_PAUSE });
        }
        is_gone
    });
    if is_gone {
        cgroup.layout.remove_empty_parents();
        return;
    }
    let sandbox = &cgroup.sandbox;
    let left: Vec<_> = cgroup.groups.iter().flat_map(|group| pids(&group.directory)).map(Pid::as_raw_pid).collect();
    warn!(sandbox.id = %sandbox, "control group of sandbox {sandbox} cannot be removed; processes in it: {left:?}");
}

fn kill(cgroup: &Cgroup) {
    for group in &cgroup.groups {
        let directory = &group.directory;
        // All at once, forks and frozen ones included. Kernels before 5.14 cannot.
        let is_done =
            matches!(cgroup.layout.version, Version::V2(_)) && write(&directory.join("cgroup.kill"), "1").is_ok();
        if !is_done {
            // Those that fork faster than they are killed cannot fork any more. Only one of the groups has the file.
            let _ = write(&directory.join("pids.max"), "0");
            kill_each(directory);
            // A frozen process takes its signals when it thaws: before it runs again.
            let _ = write(&directory.join("freezer.state"), "THAWED");
        }
    }
}

fn kill_each(group: &Path) {
    let held: Vec<(Pid, OwnedFd)> = pids(group)
        .into_iter()
        .filter_map(|pid| Some((pid, rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?)))
        .collect();
    // A number may have passed to a stranger before the process behind it was held. Whoever holds it now, and is in the group, is
    // the one that is held, or else that one has ended and takes no signal.
    let still_here = pids(group);
    for (_, process) in held.iter().filter(|(pid, _)| still_here.contains(pid)) {
        // One that has ended meanwhile is what we want.
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
}

/// Returns whether none is left.
fn remove_groups(cgroup: &Cgroup) -> bool {
    let is_gone = |directory: &Path| match fs::remove_dir(directory) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    };
    // All of them in each round, also after one that resists.
    cgroup.groups.iter().filter(|group| !is_gone(&group.directory)).count() == 0
}

/// A process that this server's pid namespace does not have is 0 in the list, and skipped.
fn pids(group: &Path) -> Vec<Pid> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}
