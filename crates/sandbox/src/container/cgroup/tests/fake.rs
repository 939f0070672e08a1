//! Hosts made of ordinary files: where groups are made, what is written to them, and what is said to be missing.

use super::*;

/// A v2 hierarchy. Its files are there before they are written to, as in a real one.
struct Tree2(TempDir);

impl Tree2 {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.group("", "cpuset cpu io memory pids");
        fs::remove_file(tree.0.path().join("cgroup.events")).unwrap();
        tree
    }

    fn group(&self, path: &str, controllers: &str) -> PathBuf {
        let group = self.0.path().join(path);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.controllers"), controllers).unwrap();
        for file in ["cgroup.events", "cgroup.procs", "cgroup.subtree_control"] {
            fs::write(group.join(file), "").unwrap();
        }
        for file in ["memory.max", "memory.events", "memory.stat", "pids.max", "cpu.max", "cpu.stat"] {
            fs::write(group.join(file), "").unwrap();
        }
        group
    }

    fn host(&self, own: &str) -> Host {
        let mountinfo = format!("30 23 0:27 / {} rw - cgroup2 cgroup2 rw", self.0.path().display());
        Host::parse(&mountinfo, &format!("0::{own}"))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
    }
}

fn find(host: &Host) -> (Cgroups, String) {
    let data_dir = Path::new("/var/lib/innkeep-of-a-test");
    (Cgroups::find_on(host, data_dir), parent_name(data_dir))
}

fn lacks(cgroups: &Cgroups) -> Vec<Controller> {
    cgroups.missing().iter().map(|missing| missing.what).collect()
}

const RESOURCES: fn() -> Resources =
    || Resources { memory_bytes: 64 << 20, cpu_millis: 1500, processes: 99, ..Resources::default() };

#[test]
fn root_uses_the_real_root_from_wherever_it_is_started() {
    let tree = Tree2::new();
    tree.group("user.slice/session-2.scope", "memory pids");
    let (cgroups, parent) = find(&tree.host("/user.slice/session-2.scope"));
    assert_eq!(cgroups.missing(), []);
    tree.group(&parent, "memory cpu pids");
    tree.group(&format!("{parent}/agentgroup"), "memory cpu pids");

    let cgroup = limited(&cgroups, "agentgroup", &RESOURCES()).unwrap();
    assert_eq!(tree.read("cgroup.subtree_control"), "+memory +cpu +pids");
    assert_eq!(tree.read(&format!("{parent}/cgroup.subtree_control")), "+memory +cpu +pids");
    let limit = |file: &str| tree.read(&format!("{parent}/agentgroup/{file}"));
    assert_eq!([limit("memory.max"), limit("pids.max"), limit("cpu.max")], ["67108864", "99", "150000 100000"]);
    assert_eq!(cgroup.procs_files(), [tree.0.path().join(format!("{parent}/agentgroup/cgroup.procs"))]);
    assert_eq!(cgroups.found(), [sandbox("agentgroup")]);
    // The server stays where it is.
    assert!(!tree.0.path().join("server").exists());
}

#[test]
fn a_kernel_that_counts_swap_gives_none() {
    let tree = Tree2::new();
    let (cgroups, parent) = find(&tree.host("/"));
    tree.group(&parent, "memory cpu pids");
    let group = tree.group(&format!("{parent}/swapgroup"), "");
    fs::write(group.join("memory.swap.max"), "max").unwrap();
    limited(&cgroups, "swapgroup", &RESOURCES()).unwrap();
    assert_eq!(tree.read(&format!("{parent}/swapgroup/memory.swap.max")), "0");
}

#[test]
fn a_delegated_server_goes_below_its_group() {
    let service = "system.slice/innkeep.service";
    // At its first start, then again from where it moved itself or systemd put it.
    for own in ["", "/server"] {
        let tree = Tree2::new();
        tree.group(service, "cpu memory pids");
        tree.group(&format!("{service}/server"), "");
        fs::write(tree.0.path().join(service).join("cgroup.procs"), std::process::id().to_string()).unwrap();
        let host =
            Host { is_delegated: |group| group.ends_with("innkeep.service"), ..tree.host(&format!("/{service}{own}")) };
        let (cgroups, parent) = find(&host);
        assert_eq!(cgroups.missing(), []);
        let parent = format!("{service}/{parent}");
        tree.group(&parent, "memory cpu pids");
        tree.group(&format!("{parent}/agentgroup"), "");

        limited(&cgroups, "agentgroup", &RESOURCES()).unwrap();
        assert_eq!(tree.read(&format!("{service}/server/cgroup.procs")), "0");
        assert_eq!(tree.read(&format!("{service}/cgroup.subtree_control")), "+memory +cpu +pids");
        assert_eq!(tree.read("cgroup.subtree_control"), "");
        assert_eq!(tree.read(&format!("{parent}/agentgroup/pids.max")), "99");
    }
}

#[test]
fn a_delegated_user_may_lack_a_controller() {
    let tree = Tree2::new();
    let scope = "user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope";
    tree.group(scope, "memory pids");
    tree.group(&format!("{scope}/server"), "");
    let host = Host {
        is_root: false,
        is_writable: |group| group.ends_with("run-r1.scope"),
        ..tree.host(&format!("/{scope}"))
    };
    let (cgroups, parent) = find(&host);
    assert_eq!(lacks(&cgroups), [Controller::Cpu]);
    assert!(cgroups.missing()[0].fix.contains("Delegate=cpu memory pids"));
    tree.group(&format!("{scope}/{parent}"), "memory pids");
    tree.group(&format!("{scope}/{parent}/agentgroup"), "");
    limited(&cgroups, "agentgroup", &RESOURCES()).unwrap();
    assert_eq!(tree.read(&format!("{scope}/cgroup.subtree_control")), "+memory +pids");
    assert_eq!(tree.read(&format!("{scope}/{parent}/agentgroup/cpu.max")), "");
}

#[test]
fn groups_of_a_server_that_was_started_elsewhere_are_found() {
    let tree = Tree2::new();
    let user = "user.slice/user-1000.slice/user@1000.service/app.slice";
    tree.group(&format!("{user}/run-r2.scope"), "memory cpu pids");
    let data_dir_name = find(&tree.host("/")).1;
    let before = tree.group(&format!("{user}/run-r1.scope/{data_dir_name}/oldagent"), "");
    fs::write(before.join("memory.events"), "low 0\noom 1\noom_kill 3\noom_group_kill 0\n").unwrap();
    let host = Host { is_root: false, ..tree.host(&format!("/{user}/run-r2.scope")) };
    let (cgroups, _) = find(&host);
    assert_eq!(cgroups.found(), [sandbox("oldagent")]);
    let old = cgroups.open(&sandbox("oldagent"));
    assert_eq!(old.procs_files(), [before.join("cgroup.procs")]);
    assert_eq!(old.oom_kills(), 3);
    // One that is nowhere is one that would be here.
    let new = cgroups.open(&sandbox("newagent"));
    assert!(new.procs_files()[0].starts_with(tree.0.path().join(user).join("run-r2.scope")));
}

#[test]
fn without_delegation_all_is_missing_and_the_fix_is_named() {
    let tree = Tree2::new();
    tree.group("user.slice/session-2.scope", "memory pids");
    let own = "/user.slice/session-2.scope";
    let denied = Host { is_root: false, is_writable: |_| false, ..tree.host(own) };
    let (cgroups, _) = find(&denied);
    assert_eq!(lacks(&cgroups), [Controller::Memory, Controller::Cpu, Controller::Processes]);
    assert!(cgroups.missing()[0].why.contains("session-2.scope is not writable"));
    assert!(cgroups.missing()[0].fix.contains("systemd-run --user --scope -p Delegate=yes"));
    // A sandbox still starts, if settings allow it.
    let cgroup = limited(&cgroups, "unlimited", &RESOURCES()).unwrap();
    assert_eq!((cgroup.procs_files().len(), cgroup.usage(), cgroup.oom_kills()), (0, Usage::default(), 0));

    // A group that is shared cannot hand controllers on.
    fs::write(tree.0.path().join("user.slice/session-2.scope/cgroup.procs"), "1\n").unwrap();
    let (cgroups, _) = find(&Host { is_root: false, ..tree.host(own) });
    assert!(cgroups.missing()[0].why.ends_with("other processes than the server: 1"), "{:?}", cgroups.missing());

    let (cgroups, _) = find(&Host::parse("", ""));
    assert_eq!(cgroups.missing()[0].fix, "mount -t cgroup2 none /sys/fs/cgroup");
}

#[test]
fn a_root_that_may_not_write_the_real_root_uses_its_own_group() {
    let tree = Tree2::new();
    tree.group("user.slice/podman.scope", "memory cpu pids");
    let host = Host { is_writable: |group| group.ends_with("podman.scope"), ..tree.host("/user.slice/podman.scope") };
    let (cgroups, parent) = find(&host);
    assert_eq!(cgroups.missing(), []);
    assert_eq!(cgroups.0.trees[0].parent, tree.0.path().join("user.slice/podman.scope").join(parent));
}

#[test]
fn a_container_with_a_process_that_cannot_be_moved_is_told_of() {
    let tree = Tree2::new();
    let top = tree.group("", "memory cpu pids");
    fs::write(top.join("cgroup.procs"), "1\n7\n").unwrap();
    assert_eq!(find(&tree.host("/")).0.missing(), []);
    fs::write(top.join("cgroup.procs"), "0\n1\n7\n").unwrap();
    let (cgroups, _) = find(&tree.host("/"));
    assert_eq!(lacks(&cgroups), [Controller::Memory, Controller::Cpu, Controller::Processes]);
    assert!(cgroups.missing()[0].why.ends_with("processes of another pid namespace: 0"), "{:?}", cgroups.missing());
}

#[test]
fn a_failed_limit_is_an_error_unless_the_kernel_may_lack_it() {
    let tree = Tree2::new();
    let (cgroups, parent) = find(&tree.host("/"));
    tree.group(&parent, "memory cpu pids");
    let group = tree.group(&format!("{parent}/agentgroup"), "");
    fs::remove_file(group.join("pids.max")).unwrap();
    let error = limited(&cgroups, "agentgroup", &RESOURCES()).unwrap_err();
    assert!(matches!(error, Error::Limit { file, .. } if file == group.join("pids.max")));
}

#[test]
fn usage_of_v2_is_read() {
    let tree = Tree2::new();
    let (cgroups, parent) = find(&tree.host("/"));
    let group = tree.group(&format!("{parent}/agentgroup"), "");
    fs::write(group.join("memory.current"), "5000\n").unwrap();
    fs::write(group.join("memory.stat"), "anon 1000\ninactive_anon 1\ninactive_file 2000\n").unwrap();
    fs::write(group.join("cpu.stat"), "usage_usec 7400\nuser_usec 1\n").unwrap();
    fs::write(group.join("pids.current"), "3\n").unwrap();
    let usage = cgroups.open(&sandbox("agentgroup")).usage();
    assert_eq!(usage, Usage { memory_bytes: Some(3000), cpu_ms: Some(7), processes: Some(3) });
}

#[test]
fn controllers_of_v1_may_share_a_hierarchy_or_be_absent() {
    let top = tempfile::tempdir().unwrap();
    let shared = top.path().join("cpu,cpuacct");
    let memory = top.path().join("memory/system.slice/innkeep.service");
    for directory in [&shared, &memory] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(shared.join("cpu.cfs_quota_us"), "").unwrap();
    let mountinfo = format!(
        "1 1 0:1 / {} rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n2 1 0:2 / {}/memory rw shared:2 - cgroup cgroup rw,memory",
        shared.display(),
        top.path().display()
    );
    let own = "2:memory:/system.slice/innkeep.service\n1:cpu,cpuacct:/";
    let (cgroups, parent) = find(&Host::parse(&mountinfo, own));
    assert_eq!(lacks(&cgroups), [Controller::Processes]);
    assert_eq!(cgroups.missing()[0].fix, "mount -t cgroup -o pids none /sys/fs/cgroup/pids");
    let cgroup = cgroups.open(&sandbox("agentgroup"));
    let group = |base: &Path| base.join(&parent).join("agentgroup");
    let groups = [group(&top.path().join("memory")), group(&shared)];
    assert_eq!(cgroup.procs_files(), groups.map(|group| group.join("cgroup.procs")));
    assert_eq!(cgroup.file("cpuacct", "cpuacct.usage"), Some(group(&shared).join("cpuacct.usage")));

    // A user to whom the administrator gave a group in one hierarchy.
    let host = Host {
        is_root: false,
        is_writable: |group| group.ends_with("innkeep.service"),
        ..Host::parse(&mountinfo, own)
    };
    let (cgroups, parent) = find(&host);
    assert_eq!(lacks(&cgroups), [Controller::Cpu, Controller::Processes]);
    assert_eq!(cgroups.0.trees[0].parent, memory.join(parent));
}
