//! Version 2 on this kernel, also where v1 has the controllers: groups, processes and their end. Limits: see `real` and `fake`.

use std::os::unix::process::ExitStatusExt;

use rustix::fs::XattrFlags;

use super::*;

/// This host, with its v2 hierarchy only.
fn v2_mount() -> Option<(PathBuf, Server)> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts: Vec<_> = mountinfo.lines().filter(|line| line.contains(" - cgroup2 ")).collect();
    let host = Host::parse(&mounts.join("\n"), "0::/");
    let place = host.v2().filter(|_| rustix::process::geteuid().is_root());
    let Some(place) = place.filter(|place| fs::read_to_string(place.top.join("cgroup.procs")).is_ok()) else {
        skip("needs root and a v2 hierarchy");
        return None;
    };
    if place.top.join("cgroup.events").exists() {
        skip("the real root of the v2 hierarchy is not in sight");
        return None;
    }
    Some((place.top, Server::new(&host)))
}

#[tokio::test]
async fn a_tree_is_killed_also_when_frozen() {
    let Some((_, server)) = v2_mount() else { return };
    for is_frozen in [false, true] {
        let cgroup = server.create("killedtree", &Resources::default());
        let mut inmate = Inmate::start(&cgroup, "sleep 600 & sleep 600 & wait");
        wait_for_processes(&cgroup, 3).await;
        if is_frozen {
            let group = &cgroup.groups[0].directory;
            write(&group.join("cgroup.freeze"), "1").unwrap();
            wait_for("a frozen group", DEADLINE, || read_field(&group.join("cgroup.events"), "frozen") == Some(1))
                .await;
        }
        wait_for("usage", DEADLINE, || cgroup.usage().cpu_ms.is_some()).await;

        cgroup.remove().await;
        assert_eq!(inmate.ended().await.signal(), Some(libc::SIGKILL));
        assert!(!server.parents().iter().any(|parent| parent.exists()));
    }
}

#[tokio::test]
async fn all_processes_of_a_container_make_room() {
    let Some((top, server)) = v2_mount() else { return };
    // A group that is all a container sees; `remove` ends it with the processes in it.
    let container = server.create("container", &Resources::default());
    let mut inmate = Inmate::start(&container, "sleep 600 & wait");
    wait_for_processes(&container, 2).await;
    let seen = &container.groups[0].directory;
    let root = Path::new("/").join(seen.strip_prefix(&top).unwrap());
    let mountinfo = format!("1 1 0:1 {} {} rw - cgroup2 cgroup2 rw", root.display(), seen.display());
    let inside = Server::new(&Host::parse(&mountinfo, &format!("0::{}", root.display())));

    let agent = inside.create("agentinside", &Resources::default());
    assert!(agent.groups[0].directory.starts_with(seen));
    assert_eq!(fs::read_to_string(seen.join("cgroup.procs")).unwrap(), "");
    assert_eq!(fs::read_to_string(seen.join("server/cgroup.procs")).unwrap().lines().count(), 2);

    agent.remove().await;
    write(&seen.join("cgroup.kill"), "1").unwrap();
    inmate.ended().await;
    wait_for("an empty group", DEADLINE, || fs::remove_dir(seen.join("server")).is_ok()).await;
}

#[test]
fn what_systemd_gives_away_is_recognised() {
    let Some((_, server)) = v2_mount() else { return };
    let group = server.create("delegated", &Resources::default()).groups.remove(0).directory;
    let is_delegated = Host::look().is_delegated;
    for (name, value, expect) in [("trusted.delegate", b"0", false), ("trusted.delegate", b"1", true)] {
        rustix::fs::setxattr(&group, name, value, XattrFlags::empty()).unwrap();
        assert_eq!(is_delegated(&group), expect);
    }
    rustix::fs::removexattr(&group, "trusted.delegate").unwrap();
    rustix::fs::setxattr(&group, "user.delegate", b"1", XattrFlags::empty()).unwrap();
    assert!(is_delegated(&group));
}
