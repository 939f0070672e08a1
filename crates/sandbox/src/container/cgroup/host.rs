//! What the kernel says of this server's control groups: which hierarchies are mounted where, and where the server is in each.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::files::subdirectories;

/// How deep groups are searched for; systemd's own are six or seven deep.
const MAX_DEPTH: usize = 16;

/// What this module's neighbours know of the host. Tests make their own.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) mounts: Vec<Mount>,
    /// Controllers, none for v2, and the path of the server's group.
    pub(super) own: Vec<(Vec<String>, PathBuf)>,
    pub(super) is_root: bool,
    /// Whether this user may make groups in a directory.
    pub(super) is_writable: fn(&Path) -> bool,
    /// Whether systemd gave a group away, as `Delegate=yes` asks it to.
    pub(super) is_delegated: fn(&Path) -> bool,
}

/// One hierarchy as this server sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The topmost group in sight.
    pub(super) top: PathBuf,
    /// The server's own group, if it is in sight.
    pub(super) own: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Mount {
    root: PathBuf,
    point: PathBuf,
    is_v2: bool,
    options: Vec<String>,
}

impl Host {
    pub(super) fn look() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        Self {
            is_root: rustix::process::geteuid().is_root(),
            is_writable,
            is_delegated,
            ..Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
        }
    }

    /// A host of which only these texts are known; the user is root. Source: proc_pid_mountinfo(5), cgroups(7).
    pub(super) fn parse(mountinfo: &str, cgroup: &str) -> Self {
        let mounts = mountinfo.lines().filter_map(Mount::parse).collect();
        let own = cgroup.lines().filter_map(parse_own).collect();
        Self { mounts, own, is_root: true, is_writable: |_| true, is_delegated: |_| false }
    }

    /// Returns whether a controller of ours belongs to v1. The v2 hierarchy of such a host has no use for us.
    pub(super) fn has_v1(&self) -> bool {
        ["memory", "cpu", "pids"].iter().any(|controller| self.v1(controller).is_some())
    }

    /// Returns the v1 hierarchy of a controller, and what other controllers it has.
    pub(super) fn v1(&self, controller: &str) -> Option<Place> {
        let own = self.own.iter().find(|(controllers, _)| controllers.iter().any(|name| name == controller));
        let is_its = |mount: &&Mount| !mount.is_v2 && mount.options.iter().any(|option| option == controller);
        place(self.mounts.iter().filter(is_its), own.map(|(_, path)| path.as_path()))
    }

    /// Returns the v2 hierarchy.
    pub(super) fn v2(&self) -> Option<Place> {
        let own = self.own.iter().find(|(controllers, _)| controllers.is_empty());
        place(self.mounts.iter().filter(|mount| mount.is_v2), own.map(|(_, path)| path.as_path()))
    }
}

impl Place {
    /// Returns all groups called `name` but the one below `base`. None where `base` is the top: a server that may use it does so
    /// from wherever it is started.
    pub(super) fn elsewhere(&self, base: &Path, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if base != self.top {
            search(&self.top, name, MAX_DEPTH, &mut found);
            found.retain(|path| path.parent() != Some(base));
        }
        found
    }
}

impl Mount {
    /// `31 23 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`
    fn parse(line: &str) -> Option<Self> {
        let (of_mount, of_system) = line.split_once(" - ")?;
        let mut of_mount = of_mount.split(' ').skip(3);
        let (root, point) = (unescape(of_mount.next()?), unescape(of_mount.next()?));
        let mut of_system = of_system.split(' ');
        let is_v2 = match of_system.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = of_system.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Self { root: root.into(), point: point.into(), is_v2, options })
    }
}

/// `4:cpu,cpuacct:/system.slice`, with v2 `0::/system.slice`.
fn parse_own(line: &str) -> Option<(Vec<String>, PathBuf)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let controllers = parts.next()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some((controllers, parts.next()?.into()))
}

/// Returns the mount that shows the server's own group, or else the first.
fn place<'m>(mounts: impl Iterator<Item = &'m Mount>, own: Option<&Path>) -> Option<Place> {
    let places = mounts.map(|mount| {
        // In a container the mount begins at the container's group, while the path may be the host's.
        let below = own.and_then(|own| own.strip_prefix(&mount.root).ok());
        Place { top: mount.point.clone(), own: below.map(|below| join(&mount.point, below)) }
    });
    let mut places = places.peekable();
    places.peek()?;
    let mut places: Vec<_> = places.collect();
    let best = places.iter().position(|place| place.own.is_some()).unwrap_or(0);
    Some(places.swap_remove(best))
}

/// Like [`Path::join`], without a slash at the end where nothing is joined.
fn join(top: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { top.to_owned() } else { top.join(below) }
}

/// Blanks and the like are octal in these lists. Source: proc_pid_mounts(5).
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn search(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    for path in subdirectories(directory) {
        if path.file_name().is_some_and(|this| this == name) {
            found.push(path);
        } else if depth > 0 {
            search(&path, name, depth - 1, found);
        }
    }
}

/// With v2, moving a process takes the right to write the list of the common ancestor too; v1 asks for the file of the target.
fn is_writable(group: &Path) -> bool {
    let may = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    may(group) && may(&group.join("cgroup.procs"))
}

/// Source: systemd, "Control Group APIs and Delegation": the attribute is `user.` since version 251, `trusted.` before.
fn is_delegated(group: &Path) -> bool {
    let has = |name: &str| {
        let mut value = [0; 1];
        rustix::fs::getxattr(group, name, &mut value).is_ok() && value == *b"1"
    };
    has("user.delegate") || has("trusted.delegate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, cgroup: &str, controller: &str, top: &str, own: Option<&str>) {
        let host = Host::parse(mountinfo, cgroup);
        let found = if controller.is_empty() { host.v2() } else { host.v1(controller) };
        assert_eq!(found, Some(Place { top: top.into(), own: own.map(PathBuf::from) }));
    }

    #[test]
    fn hierarchies_are_found_as_they_are_mounted() {
        // One mount per controller.
        let line = "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids";
        check(line, "8:pids:/a\n4:memory:/b\n0::/c", "pids", "/sys/fs/cgroup/pids", Some("/sys/fs/cgroup/pids/a"));
        // systemd's hybrid layout, with optional fields, two controllers in one mount.
        let line = "29 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 master:3 - cgroup cgroup rw,cpu,cpuacct";
        let own = "4:cpu,cpuacct:/system.slice/innkeep.service\n1:name=systemd:/x\n0::/x";
        let group = "/sys/fs/cgroup/cpu,cpuacct/system.slice/innkeep.service";
        check(line, own, "cpuacct", "/sys/fs/cgroup/cpu,cpuacct", Some(group));
        // v2.
        let line = "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
        check(line, "0::/", "", "/sys/fs/cgroup", Some("/sys/fs/cgroup"));
        let strange = "30 23 0:27 / /mnt/control\\040groups rw - cgroup2 none rw";
        check(strange, "0::/a:b", "", "/mnt/control groups", Some("/mnt/control groups/a:b"));
    }

    #[test]
    fn a_mount_may_begin_at_a_group() {
        let line = "39 31 0:36 /docker/c0ffee /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        check(line, "4:memory:/docker/c0ffee", "memory", "/sys/fs/cgroup/memory", Some("/sys/fs/cgroup/memory"));
        check(line, "4:memory:/docker/c0ffee/a", "memory", "/sys/fs/cgroup/memory", Some("/sys/fs/cgroup/memory/a"));
        check(line, "4:memory:/", "memory", "/sys/fs/cgroup/memory", None);
        // Of two mounts, the one that shows the server's group.
        let both = format!("{line}\n40 31 0:36 / /mnt/all rw - cgroup cgroup rw,memory");
        check(&both, "4:memory:/user", "memory", "/mnt/all", Some("/mnt/all/user"));
    }

    #[test]
    fn only_v1_controllers_of_ours_make_a_v1_host() {
        let v2 = "38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let systemd = "37 31 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd";
        assert!(!Host::parse(&format!("{v2}\n{systemd}"), "").has_v1());
        let cpu = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert!(Host::parse(&format!("{v2}\n{cpu}"), "").has_v1());
    }
}
