//! What a sandbox might leave on the host outside of its directory.

use std::fs;
use std::path::{Path, PathBuf};

use innkeep_types::SandboxId;

/// Returns the control groups called `name`, as far as they are groups of a server.
pub(crate) fn groups_called(name: &SandboxId) -> Vec<PathBuf> {
    groups().filter(|group| group.ends_with(name.as_str())).collect()
}

/// Returns what of the host's mounts tells of `word`.
pub(crate) fn mounts_with(word: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
}

/// Removes the groups of all sandboxes that had a log in `data_dir`, and whose processes have ended.
pub(crate) fn remove_groups(data_dir: &Path) {
    let logs = fs::read_dir(data_dir.join("logs")).into_iter().flatten().flatten();
    for name in logs.map(|entry| entry.file_name()) {
        for group in groups().filter(|group| group.file_name() == Some(&name)) {
            // The kernel takes a moment from a process's end to its group's.
            let is_gone = (0..1000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                fs::remove_dir(&group).is_ok()
            });
            if let (true, Some(parent)) = (is_gone, group.parent()) {
                // One that still has groups stays.
                let _ = fs::remove_dir(parent);
            }
        }
    }
}

/// Returns all groups in the groups of servers, in every hierarchy of control groups, however deep: a server that was given a group
/// has its own below it.
fn groups() -> impl Iterator<Item = PathBuf> {
    let mut to_search = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut of_servers = Vec::new();
    while let Some(directory) = to_search.pop() {
        for group in directories(&directory) {
            let name = group.file_name().and_then(|name| name.to_str());
            let kind =
                if name.is_some_and(|name| name.starts_with("innkeep-")) { &mut of_servers } else { &mut to_search };
            kind.push(group);
        }
    }
    of_servers.into_iter().flat_map(|server| directories(&server))
}

fn directories(of: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}
