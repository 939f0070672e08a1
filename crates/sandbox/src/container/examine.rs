//! What a host can and cannot do for containers, one finding at a time, each gap with what closes it.

use std::fs;
use std::path::Path;

use innkeep_types::limits::INOTIFY_INSTANCES;

use super::cgroup::{Cgroups, Controller};
use super::egress::Networks;
use super::{ContainerDriver, ContainerOptions};
use crate::driver::{Driver, Unusable};
use crate::sys;

/// One thing that this host can or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub what: &'static str,
    /// Whether it is there.
    pub state: FindingState,
    /// What was seen.
    pub detail: String,
    /// What closes the gap, if there is one.
    pub fix: Option<String>,
}

/// Whether the host can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingState {
    /// It can.
    Good,
    /// It can, with something weaker about it.
    Weak,
    /// It cannot.
    Missing,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, state: FindingState::Good, detail: detail.into(), fix: None }
    }

    fn gap(what: &'static str, state: FindingState, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, state, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Looks at everything on this host that the driver needs; starts a sandbox in `data_dir`, and ends it. Also returns whether that went
/// well, which is what decides.
pub async fn examine(data_dir: &Path, options: &ContainerOptions) -> (Vec<Finding>, Result<(), Unusable>) {
    let mut findings = vec![user(), user_namespaces(), overlay()];
    findings.extend(control_groups(data_dir, options.allow_missing_limits));
    findings.extend([filters(), landlock(), watches(WATCHES), network(options)]);
    let tried = ContainerDriver::new(data_dir, options.clone()).await;
    findings.extend(tried.as_ref().ok().map(images));
    let tried = tried.map(drop);
    findings.push(sandbox(&tried));
    (findings, tried)
}

fn user() -> Finding {
    let what = "user";
    if rustix::process::geteuid().is_root() {
        return Finding::good(what, "root: every sandbox gets user ids of its own");
    }
    let detail = "an ordinary user: agent and sidecar are one user, and limits need delegation";
    Finding::gap(
        what,
        FindingState::Weak,
        detail,
        "run the server as root, or read docs/operations.md on rootless servers",
    )
}

/// Switches that distributions have against user namespaces: file, the value that forbids, and what to run.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for innkeep",
    ),
];

fn user_namespaces() -> Finding {
    let what = "user namespaces";
    for (file, forbidding, fix) in SWITCHES {
        let applies = !rustix::process::geteuid().is_root() || file.ends_with("max_user_namespaces");
        if applies && fs::read_to_string(file).is_ok_and(|value| value.trim() == forbidding) {
            return Finding::gap(what, FindingState::Missing, format!("{file} is {forbidding}"), fix);
        }
    }
    if Path::new("/proc/self/ns/user").exists() {
        Finding::good(what, "allowed")
    } else {
        Finding::gap(what, FindingState::Missing, "this kernel has none", "a kernel with CONFIG_USER_NS")
    }
}

fn overlay() -> Finding {
    let what = "overlay file system";
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        return Finding::good(what, "there");
    }
    // A module may be loaded on demand: the trial below decides.
    Finding::gap(what, FindingState::Weak, "not loaded", "modprobe overlay")
}

fn control_groups(data_dir: &Path, may_lack: bool) -> Vec<Finding> {
    let cgroups = Cgroups::find(data_dir);
    let limits = [
        (Controller::Memory, "limit of memory"),
        (Controller::Cpu, "limit of processor time"),
        (Controller::Processes, "limit of processes"),
    ];
    let finding = |(controller, what)| match cgroups.missing().iter().find(|missing| missing.what == controller) {
        None => Finding::good(what, "by a control group"),
        Some(missing) => {
            let state = if may_lack { FindingState::Weak } else { FindingState::Missing };
            Finding::gap(what, state, missing.why.clone(), missing.fix.clone())
        }
    };
    limits.into_iter().map(finding).collect()
}

fn filters() -> Finding {
    let what = "system-call filter";
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if actions.split_ascii_whitespace().any(|action| action == "errno") {
        Finding::good(what, "seccomp")
    } else {
        let fix = "a kernel with CONFIG_SECCOMP_FILTER";
        Finding::gap(what, FindingState::Missing, "this kernel has no seccomp filters", fix)
    }
}

/// The first version that confines signals and abstract sockets.
const LANDLOCK_SCOPES: i64 = 6;

fn landlock() -> Finding {
    let what = "landlock";
    match sys::landlock_version() {
        Some(version) if version >= LANDLOCK_SCOPES => Finding::good(what, format!("version {version}")),
        Some(version) => Finding::gap(
            what,
            FindingState::Weak,
            format!("version {version} does not confine signals, which namespaces do here"),
            "a kernel of 6.12 or newer",
        ),
        None => Finding::gap(
            what,
            FindingState::Weak,
            "not enabled: the second wall around files is missing",
            "add landlock to the kernel parameter lsm=, or a kernel of 5.13 or newer",
        ),
    }
}

/// How many inotify instances one user has, whom all sandboxes of a server share.
const WATCHES: &str = "/proc/sys/fs/inotify/max_user_instances";

fn watches(file: &str) -> Finding {
    let what = "watches of files";
    let most = fs::read_to_string(file).ok().and_then(|number| number.trim().parse::<u32>().ok()).unwrap_or_default();
    let sandboxes = most / INOTIFY_INSTANCES;
    if sandboxes >= ENOUGH_TO_WATCH {
        return Finding::good(what, format!("{most} inotify instances for all sandboxes together"));
    }
    let detail = format!(
        "{most} inotify instances for all sandboxes together: {sandboxes} that take all they may leave none to others"
    );
    Finding::gap(what, FindingState::Weak, detail, "sysctl -w fs.inotify.max_user_instances=8192")
}

/// Sandboxes that may take all their inotify instances before anybody else misses one.
const ENOUGH_TO_WATCH: u32 = 64;

fn network(options: &ContainerOptions) -> Finding {
    let what = "public network";
    match Networks::find(&options.dns).way() {
        Ok(way) => Finding::good(what, format!("by {way}")),
        Err(missing) => Finding::gap(what, FindingState::Missing, missing.why.clone(), missing.fix.clone()),
    }
}

fn images(driver: &ContainerDriver) -> Finding {
    let what = "images";
    match driver.capabilities().no_images {
        None => Finding::good(what, "the sandbox of one was made and removed"),
        Some(Unusable { why, .. }) => Finding::gap(what, FindingState::Missing, why, IMAGES),
    }
}

/// What images take.
const IMAGES: &str = "a kernel of 5.19 or newer, and a data directory on ext4, xfs or btrfs (--data-dir)";

fn sandbox(tried: &Result<(), Unusable>) -> Finding {
    let what = "a sandbox";
    match tried {
        Ok(()) => Finding::good(what, "started and ended"),
        Err(Unusable { why, fix }) => Finding::gap(what, FindingState::Missing, why.clone(), fix.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(most: &str, state: FindingState) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), most).unwrap();
        let found = watches(file.path().to_str().unwrap());
        assert_eq!(found.state, state, "{found:?}");
        assert_eq!(found.fix.is_some(), state != FindingState::Good);
    }

    #[test]
    fn a_host_with_few_inotify_instances_is_told_how_to_have_more() {
        check("128\n", FindingState::Weak);
        check("8192\n", FindingState::Good);
        check("", FindingState::Weak);
    }
}
