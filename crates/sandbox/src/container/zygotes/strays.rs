//! Processes that the imports of a zygote started and that outlive its interpreter. Its keeper ends those that it can see; one that hides
//! looks to it like the first process of a sandbox inside, which hides too, and is waited for. The host sees who is who: a sandbox
//! has a process namespace of its own, and a stray is in the keeper's.

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::local::{Process, status};

/// Ends the children of a keeper that are no sandboxes. For a keeper whose interpreter has ended.
pub(super) fn end(keeper: &Process) {
    let keeper = keeper.pid();
    let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
    for child in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        let Some(pid) = Pid::from_raw(child) else { continue };
        // Looked at with the descriptor in hand: it is this process then that is ended, and no other.
        let Ok(held) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if is_stray(child, keeper) {
            // One that is gone already is what we want.
            let _ = rustix::process::pidfd_send_signal(&held, Signal::KILL);
        }
    }
}

fn is_stray(child: i32, keeper: i32) -> bool {
    let is_child = status(child, "PPid:").is_some_and(|parent| parent.trim() == keeper.to_string());
    is_child && depth(child).is_some_and(|own| depth(keeper) == Some(own))
}

/// Returns in how many process namespaces a process has a number, from ours on.
fn depth(pid: i32) -> Option<usize> {
    Some(status(pid, "NSpid:")?.split_ascii_whitespace().count())
}
