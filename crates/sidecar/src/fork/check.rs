//! Compares a stopped process with what every agent is, by what the kernel says of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use innkeep_protocol::link::LaunchPlan;
use innkeep_protocol::walls::Walls;
use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fstat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{Error, to, unfit};

/// Namespaces that the agent shares with its sidecar.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Filters of system calls that an agent is under besides those of the server itself: the one of all agents, and the one that tells of
/// its binds.
const FILTERS: u32 = 2;

/// Devices that may be open: `/dev/null`, `/dev/random`, `/dev/urandom`. Source: kernel, "Linux allocated devices".
const DEVICES: [(u32, u32); 3] = [(1, 3), (1, 8), (1, 9)];

/// Refuses a process that is not what an agent has to be. `output`: our ends of its pipes.
pub(super) fn check(pid: Pid, plan: &LaunchPlan, walls: &Walls, output: [BorrowedFd<'_>; 2]) -> Result<(), Error> {
    let read = |of: &str, name: &str| fs::read_to_string(format!("/proc/{of}/{name}")).map_err(to("look at the agent"));
    let agent = pid.as_raw_pid().to_string();
    let (user, group) = match walls.first_id {
        Some(_) => (walls.agent.user, walls.agent.group),
        None => (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
    };
    // Those that the server runs under, such as a container engine's.
    let outer = filters(&read("self", "status")?).ok_or_else(|| unfit("this kernel does not count its filters"))?;
    let expected = Expected { user, group, has_users: walls.first_id.is_some(), filters: outer + FILTERS };
    compare(&read(&agent, "status")?, &expected).map_err(unfit)?;
    if read(&agent, "cgroup")? != read("self", "cgroup")? {
        return Err(unfit("it is in other control groups"));
    }
    for name in NAMESPACES {
        let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/{name}")).map_err(to("look at the agent"));
        if namespace(&agent)? != namespace("self")? {
            return Err(unfit(format!("it is in another {name} namespace")));
        }
    }
    for (name, place) in [("root", Path::new("/")), ("cwd", &plan.working_directory)] {
        let [its, ours] = [Path::new(&format!("/proc/{agent}/{name}")), place].map(fs::metadata);
        let (its, ours) = (its.map_err(to("look at the agent"))?, ours.map_err(to("look at the agent"))?);
        if (its.dev(), its.ino()) != (ours.dev(), ours.ino()) {
            return Err(unfit(format!("its {name} is not {}", place.display())));
        }
    }
    check_descriptors(pid, output)
}

/// What is the same in every agent of a sandbox.
struct Expected {
    user: u32,
    group: u32,
    has_users: bool,
    filters: u32,
}

/// Compares `/proc/PID/status` with what an agent's says.
fn compare(status: &str, expected: &Expected) -> Result<(), String> {
    let none = "0000000000000000".to_owned();
    let four = |id: u32| format!("{id} {id} {id} {id}");
    let mut fields = vec![
        ("PPid", rustix::process::getpid().as_raw_pid().to_string()),
        ("Uid", four(expected.user)),
        ("Gid", four(expected.group)),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
        ("Seccomp_filters", expected.filters.to_string()),
        ("Threads", "1".to_owned()),
    ];
    fields.extend(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| (set, none.clone())));
    if expected.has_users {
        fields.push(("Groups", String::new()));
    }
    for (field, value) in fields {
        let found = value_of(status, field);
        if found != value {
            return Err(format!("{field} is {found:?} and not {value:?}"));
        }
    }
    Ok(())
}

fn filters(status: &str) -> Option<u32> {
    value_of(status, "Seccomp_filters").parse().ok()
}

fn value_of(status: &str, field: &str) -> String {
    let found = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Refuses descriptors by which it could reach what is not the sandbox's: it has its output, and may have files to be read.
fn check_descriptors(pid: Pid, [stdout, stderr]: [BorrowedFd<'_>; 2]) -> Result<(), Error> {
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(to("look at the agent"))?;
    let mut open = BTreeMap::new();
    // Names and no more: what a descriptor is, its duplicate says.
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", pid.as_raw_pid())).map_err(to("look at the agent"))? {
        let name = entry.map_err(to("look at the agent"))?.file_name();
        let number: i32 = name.to_string_lossy().parse().map_err(|_| unfit("its descriptors have no numbers"))?;
        let duplicate = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).map_err(to("look into the agent"))?;
        open.insert(number, duplicate);
    }
    for (standard, ours) in [(0, None), (1, Some(stdout)), (2, Some(stderr))] {
        let Some(its) = open.remove(&standard) else { continue };
        let is_right = match ours {
            None => is_device(&stat(its.as_fd())?),
            Some(ours) => (|| Ok(same(&stat(its.as_fd())?, &stat(ours)?)))()?,
        };
        if !is_right {
            return Err(unfit(format!("descriptor {standard} leads to {}", target(&its))));
        }
    }
    for (number, its) in open {
        let found = stat(its.as_fd())?;
        let is_read_only = fcntl_getfl(&its).map_err(to("look at the agent"))? & OFlags::ACCMODE == OFlags::RDONLY;
        // A namespace passes for a file, but has no path.
        let is_file = FileType::from_raw_mode(found.st_mode).is_file() && target(&its).starts_with('/');
        if !(is_device(&found) || is_file && is_read_only) {
            return Err(unfit(format!("descriptor {number} is open, and is no file to be read: {}", target(&its))));
        }
    }
    Ok(())
}

fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Error> {
    fstat(fd).map_err(to("look at the agent"))
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn is_device(found: &Stat) -> bool {
    let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    FileType::from_raw_mode(found.st_mode).is_char_device() && DEVICES.contains(&device)
}

/// Returns what the kernel says that a descriptor of ours leads to.
fn target(fd: &OwnedFd) -> String {
    let link: io::Result<_> = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    link.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
