//! Control groups, version 1: a hierarchy of its own for every controller, or for several together.
//! Source: kernel, "Control Groups version 1".

use innkeep_types::Resources;

use super::files::{read_field, read_number};
use super::host::Host;
use super::layout::{CPU_PERIOD_US, Found, Limit, Tree, quota_us};
use super::{Cgroup, Controller, Missing};
use crate::driver::Usage;

/// The controllers that are used, and what each limits; the others count (`cpuacct`), or stop and wake (`freezer`).
const CONTROLLERS: [(&str, Option<Controller>); 5] = [
    ("memory", Some(Controller::Memory)),
    ("cpu", Some(Controller::Cpu)),
    ("pids", Some(Controller::Processes)),
    ("cpuacct", None),
    ("freezer", None),
];

pub(super) fn find(host: &Host, name: &str) -> Found {
    let mut found = Found::default();
    for (controller, what) in CONTROLLERS {
        match (tree(host, controller, name), what) {
            (Ok(tree), _) => match found.trees.iter_mut().find(|known| known.parent == tree.parent) {
                Some(known) => known.controllers.push(controller),
                None => found.trees.push(tree),
            },
            (Err((why, fix)), Some(what)) => found.missing.push(Missing { what, why, fix }),
            (Err(_), None) => {}
        }
    }
    found
}

pub(super) fn limits(resources: &Resources) -> Vec<Limit> {
    let limit = |controller, file, value: u64| Limit { controller, file, value: value.to_string(), is_optional: false };
    vec![
        limit("memory", "memory.limit_in_bytes", resources.memory_bytes),
        // Of memory and swap together, so that swap is no way out; the kernel wants it in this order, and may not count swap at all.
        Limit { is_optional: true, ..limit("memory", "memory.memsw.limit_in_bytes", resources.memory_bytes) },
        limit("pids", "pids.max", resources.processes.into()),
        limit("cpu", "cpu.cfs_period_us", CPU_PERIOD_US),
        limit("cpu", "cpu.cfs_quota_us", quota_us(resources)),
    ]
}

pub(super) fn usage(cgroup: &Cgroup) -> Usage {
    let number = |controller, file| read_number(&cgroup.file(controller, file)?);
    let memory_bytes = || {
        let used = number("memory", "memory.usage_in_bytes")?;
        let droppable = read_field(&cgroup.file("memory", "memory.stat")?, "total_inactive_file")?;
        Some(used.saturating_sub(droppable))
    };
    Usage {
        memory_bytes: memory_bytes(),
        cpu_ms: number("cpuacct", "cpuacct.usage").map(|nanoseconds| nanoseconds / 1_000_000),
        processes: number("pids", "pids.current"),
    }
}

/// Returns the hierarchy of a controller, or why there is none for us and what helps.
fn tree(host: &Host, controller: &'static str, name: &str) -> Result<Tree, (String, String)> {
    let Some(place) = host.v1(controller) else {
        let fix = format!("mount -t cgroup -o {controller} none /sys/fs/cgroup/{controller}");
        return Err((format!("the {controller} controller is not mounted"), fix));
    };
    // At the top, root's groups are found again wherever the next server is started from.
    let top = Some(&place.top).filter(|_| host.is_root);
    let Some(base) = top.into_iter().chain(&place.own).find(|group| (host.is_writable)(group)) else {
        let shown = place.own.as_ref().unwrap_or(&place.top).display();
        let fix = match host.is_root {
            true => {
                "make /sys/fs/cgroup writable (in a container: start it privileged, with -v /sys/fs/cgroup:/sys/fs/cgroup:rw)"
            }
            false => {
                "run the server as root, or boot with systemd.unified_cgroup_hierarchy=1 and run it under systemd with Delegate=yes"
            }
        };
        return Err((format!("control group {shown} is not writable"), fix.to_owned()));
    };
    if controller == "cpu" && !base.join("cpu.cfs_quota_us").exists() {
        let why = "the kernel has no bandwidth control of processors".to_owned();
        return Err((why, "use a kernel with CONFIG_CFS_BANDWIDTH=y".to_owned()));
    }
    let elsewhere = place.elsewhere(base, name);
    Ok(Tree { controllers: vec![controller], parent: base.join(name), elsewhere })
}
