//! A look at the host's process table.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal};

pub(crate) fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

pub(crate) fn children_of(parent: u32) -> Vec<i32> {
    processes().filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// Tells whether a process is gone, or waits for its parent to notice.
pub(crate) fn has_ended(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// Tells whether its environment has `variable`, as `NAME=value`.
pub(crate) fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|one| one == variable.as_bytes())
}

/// Tells whether a process is a launcher or a sidecar.
pub(crate) fn is_sidecar(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"innkeep-sidecar\0"))
}

/// Tells whether a process holds something in `directory` open, as far as we may look.
pub(crate) fn holds(pid: i32, directory: &Path) -> bool {
    let held = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    held.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.starts_with(directory))
}

/// Returns the children of a process, quicker than [`children_of`] where there are few.
pub(crate) fn listed_children(parent: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Returns the first number of a line of `/proc/PID/status`: of `Uid`, the real one.
pub(crate) fn status(pid: i32, field: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Kills a process, if it is there.
pub(crate) fn kill(pid: i32) {
    let _ = Pid::from_raw(pid).map(|pid| rustix::process::kill_process(pid, Signal::KILL));
}

/// Asks a process to end, if it is there.
pub(crate) fn terminate(pid: i32) {
    let _ = Pid::from_raw(pid).map(|pid| rustix::process::kill_process(pid, Signal::TERM));
}

/// Returns state and parent.
fn stat(pid: i32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Returns in how many process namespaces a process has a number, from ours on.
pub(crate) fn depth(pid: i32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let names = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    names.map_or(0, |names| names.split_ascii_whitespace().count())
}
