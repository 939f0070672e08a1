//! Control groups, version 2: one hierarchy, in which a group that hands controllers on to groups below holds no processes itself,
//! but for the real root. Source: kernel, "Control Group v2"; systemd, "Control Group APIs and Delegation".

use std::fs;
use std::path::{Path, PathBuf};

use innkeep_types::Resources;

use super::files::{make_directory, read_field, read_number, write};
use super::host::Host;
use super::layout::{CPU_PERIOD_US, Found, Limit, Tree, quota_us};
use super::{Cgroup, Controller, Error, Missing};
use crate::driver::Usage;

const CONTROLLERS: [(&str, Controller); 3] =
    [("memory", Controller::Memory), ("cpu", Controller::Cpu), ("pids", Controller::Processes)];

/// How often a group is emptied of processes before its controllers are handed on: those in it may start others meanwhile.
const ROUNDS: u32 = 10;

/// The group below a delegated one in which the server itself is; also what to give systemd's `DelegateSubgroup=`.
const SERVER: &str = "server";

const DELEGATE: &str = "run the server as a systemd service with Delegate=yes and DelegateSubgroup=server, or: \
                        systemd-run --user --scope -p Delegate=yes innkeep serve";

/// What must be moved before groups can be made.
#[derive(Debug)]
pub(super) enum Entrance {
    /// Nothing: the base holds no processes, or is the real root, which may.
    Free,
    /// The server.
    Server,
    /// All processes of this container, whose topmost group is the base.
    Everyone,
}

pub(super) fn find(host: &Host, name: &str) -> (Found, Entrance) {
    match look(host, name) {
        Ok((tree, entrance)) => {
            let lacking = CONTROLLERS.iter().filter(|(controller, _)| !tree.controllers.contains(controller));
            let missing = lacking.map(|(controller, what)| not_handed_on(host, controller, *what)).collect();
            (Found { trees: vec![tree], missing }, entrance)
        }
        Err((why, fix)) => {
            let missing = CONTROLLERS.map(|(_, what)| Missing { what, why: why.clone(), fix: fix.to_owned() });
            (Found { trees: Vec::new(), missing: missing.into() }, Entrance::Free)
        }
    }
}

/// Empties the base of processes, and lets it hand its controllers on.
pub(super) fn claim(tree: &Tree, entrance: &Entrance) -> Result<(), Error> {
    let Some(base) = tree.parent.parent() else { return Ok(()) };
    let empty = || match entrance {
        Entrance::Free => Ok(()),
        // Whoever writes it.
        Entrance::Server => move_all(&["0".to_owned()], base, &base.join(SERVER)),
        Entrance::Everyone => move_all(&processes(base), base, &base.join(SERVER)),
    };
    for _ in 1..ROUNDS {
        empty()?;
        match enable(base, &tree.controllers) {
            Err(Error::Enable { source, .. }) if source.raw_os_error() == Some(libc::EBUSY) => {}
            enabled => return enabled,
        }
    }
    empty()?;
    enable(base, &tree.controllers)
}

/// Lets a group hand controllers on to those below it.
pub(super) fn enable(group: &Path, controllers: &[&str]) -> Result<(), Error> {
    let file = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    let is_new = |controller: &&&str| !enabled.split_whitespace().any(|known| known == **controller);
    let orders: Vec<_> = controllers.iter().filter(is_new).map(|controller| format!("+{controller}")).collect();
    if orders.is_empty() {
        return Ok(());
    }
    let orders = orders.join(" ");
    write(&file, &orders).map_err(|source| Error::Enable { path: group.to_owned(), controllers: orders, source })
}

pub(super) fn limits(resources: &Resources) -> Vec<Limit> {
    let limit = |controller, file, value: String| Limit { controller, file, value, is_optional: false };
    vec![
        limit("memory", "memory.max", resources.memory_bytes.to_string()),
        // Swap is no way out. Kernels that do not count it lack the file.
        Limit { is_optional: true, ..limit("memory", "memory.swap.max", "0".to_owned()) },
        limit("pids", "pids.max", resources.processes.to_string()),
        limit("cpu", "cpu.max", format!("{} {CPU_PERIOD_US}", quota_us(resources))),
    ]
}

pub(super) fn usage(cgroup: &Cgroup) -> Usage {
    let Some(group) = cgroup.groups.first().map(|group| &group.directory) else { return Usage::default() };
    let memory_bytes = || {
        let used = read_number(&group.join("memory.current"))?;
        Some(used.saturating_sub(read_field(&group.join("memory.stat"), "inactive_file")?))
    };
    Usage {
        memory_bytes: memory_bytes(),
        // Counted in every group, whatever its controllers.
        cpu_ms: read_field(&group.join("cpu.stat"), "usage_usec").map(|microseconds| microseconds / 1000),
        processes: read_number(&group.join("pids.current")),
    }
}

/// Finds where groups can be made, or why nowhere and what helps.
fn look(host: &Host, name: &str) -> Result<(Tree, Entrance), (String, &'static str)> {
    let place = host
        .v2()
        .ok_or_else(|| ("control groups are not mounted".to_owned(), "mount -t cgroup2 none /sys/fs/cgroup"))?;
    let home = place.own.as_deref().map(|own| home(own, &place.top));
    let top_is_root = is_root_group(&place.top);
    // Root uses the real root unless it was given a group of its own: what systemd did not give away, it may change at any time.
    let is_roots = host.is_root && top_is_root && !home.is_some_and(host.is_delegated);
    // A user namespace's root sees the real root, and may not write there.
    let top = Some(place.top.as_path()).filter(|top| is_roots && (host.is_writable)(top));
    let base = top.or(home).unwrap_or(&place.top);
    if !(host.is_writable)(base) {
        let fix = match host.is_root {
            true => {
                "make /sys/fs/cgroup writable (in a container: start it privileged, with a cgroup namespace of its own)"
            }
            false => DELEGATE,
        };
        return Err((format!("control group {} is not writable", base.display()), fix));
    }
    let entrance = match (is_root_group(base), base == place.top) {
        (true, _) => Entrance::Free,
        (false, true) => Entrance::Everyone,
        (false, false) => Entrance::Server,
    };
    resistance(&entrance, base)?;
    let handed = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    let is_handed = |controller: &&str| handed.split_whitespace().any(|known| known == *controller);
    let controllers = CONTROLLERS.iter().map(|(controller, _)| *controller).filter(is_handed).collect();
    Ok((Tree { controllers, parent: base.join(name), elsewhere: place.elsewhere(base, name) }, entrance))
}

/// Fails where the base cannot be emptied of processes.
fn resistance(entrance: &Entrance, base: &Path) -> Result<(), (String, &'static str)> {
    let own = std::process::id().to_string();
    let (mut strangers, whose, fix) = match entrance {
        Entrance::Free => return Ok(()),
        Entrance::Server => (processes(base), "other processes than the server", DELEGATE),
        Entrance::Everyone => {
            (processes(base), "processes of another pid namespace", "move them to a control group of their own")
        }
    };
    strangers.retain(|pid| match entrance {
        // What moves a process is its number, and this stands for those that have none here.
        Entrance::Everyone => pid == "0",
        _ => *pid != own,
    });
    if strangers.is_empty() {
        return Ok(());
    }
    Err((format!("control group {} has {whose}: {}", base.display(), strangers.join(", ")), fix))
}

/// Returns the group that is the server's, in which it may be one level below.
fn home<'p>(own: &'p Path, top: &Path) -> &'p Path {
    match own.parent() {
        Some(parent) if own != top && own.file_name().is_some_and(|name| name == SERVER) => parent,
        _ => own,
    }
}

/// The real root has no events; the topmost group of a container has.
fn is_root_group(group: &Path) -> bool {
    !group.join("cgroup.events").exists()
}

fn not_handed_on(host: &Host, controller: &str, what: Controller) -> Missing {
    let fix = match (host.is_root, what) {
        (false, _) => "systemctl edit user@.service, with: [Service] Delegate=cpu memory pids".to_owned(),
        (true, Controller::Memory) => "boot with cgroup_enable=memory".to_owned(),
        (true, _) => format!("hand it on from the group above: echo +{controller} > cgroup.subtree_control"),
    };
    Missing { what, why: format!("the {controller} controller is not handed on to the server's control group"), fix }
}

fn processes(group: &Path) -> Vec<String> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

fn move_all(processes: &[String], from: &Path, to: &Path) -> Result<(), Error> {
    if processes.is_empty() {
        return Ok(());
    }
    make_directory(to)?;
    let to_file: PathBuf = to.join("cgroup.procs");
    for process in processes {
        match write(&to_file, process) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            moved => moved.map_err(|source| Error::Move { from: from.to_owned(), to: to.to_owned(), source })?,
        }
    }
    Ok(())
}
