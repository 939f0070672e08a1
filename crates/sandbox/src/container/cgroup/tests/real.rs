//! The control groups of this kernel, of the version that has its controllers.

use std::os::unix::process::ExitStatusExt;

use super::super::files::read_number;
use super::*;

const MIB: u64 = 1 << 20;

fn server() -> Option<Server> {
    let server = Server::new(&Host::look());
    if let Some(missing) = server.cgroups.missing().first() {
        skip(&missing.why);
        return None;
    }
    if let Err(error) = server.cgroups.prepare() {
        panic!("{error}");
    }
    Some(server)
}

/// Returns the value for v1, or that for v2.
fn either<T>(cgroup: &Cgroup, v1: T, v2: T) -> T {
    match cgroup.layout.version {
        Version::V1 => v1,
        Version::V2(_) => v2,
    }
}

#[tokio::test]
async fn a_memory_hog_is_killed_and_counted() {
    let Some(server) = server() else { return };
    let cgroup = server.create("memoryhog", &Resources { memory_bytes: 32 * MIB, ..Resources::default() });
    // Remembers one line that never ends.
    let mut hog = Inmate::start(&cgroup, "exec tail /dev/zero");
    assert_eq!(hog.ended().await.signal(), Some(libc::SIGKILL));
    assert!(cgroup.oom_kills() > 0);
    cgroup.remove().await;
    assert_eq!(server.create("bystander", &Resources::default()).oom_kills(), 0);
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_removed_while_it_forks() {
    let Some(server) = server() else { return };
    let cgroup = server.create("forkbomb", &Resources { processes: 16, ..Resources::default() });
    let bomb = r#"
import os
while True:
    try: os.fork()
    except OSError: pass
"#;
    let mut inmate = Inmate::start(&cgroup, &format!("exec {PYTHON} -c '{bomb}'"));
    let events = cgroup.file("pids", "pids.events").unwrap();
    wait_for("a refused fork", DEADLINE, || read_field(&events, "max").unwrap() > 0).await;
    assert!(cgroup.usage().processes.unwrap() <= 16);

    cgroup.remove().await;
    assert!(!cgroup.procs_files().iter().any(|file| file.exists()));
    assert_eq!(inmate.ended().await.signal(), Some(libc::SIGKILL));
}

#[tokio::test]
async fn processor_time_is_bounded_and_counted() {
    let Some(server) = server() else { return };
    let cgroup = server.create("busyloop", &Resources { cpu_millis: 50, ..Resources::default() });
    let (file, quota) = either(&cgroup, ("cpu.cfs_quota_us", "5000\n"), ("cpu.max", "5000 100000\n"));
    assert_eq!(fs::read_to_string(cgroup.file("cpu", file).unwrap()).unwrap(), quota);
    let _busy = Inmate::start(&cgroup, "while :; do :; done");
    let stat = cgroup.file("cpu", "cpu.stat").unwrap();
    wait_for("throttling", DEADLINE, || read_field(&stat, "nr_throttled").unwrap() > 0).await;
    wait_for("usage", DEADLINE, || cgroup.usage().cpu_ms.unwrap() > 0).await;
}

#[tokio::test]
async fn usage_leaves_out_page_cache_and_ends_with_the_group() {
    let Some(server) = server() else { return };
    let cgroup = server.create("usagetest", &Resources::default());
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "head -c 8388608 /dev/zero > {0}; exec {PYTHON} -c 'import time; kept = b\"x\" * (16 << 20); time.sleep(600)'",
        file.path().display()
    );
    let _inmate = Inmate::start(&cgroup, &script);
    let file = cgroup.file("memory", either(&cgroup, "memory.usage_in_bytes", "memory.current")).unwrap();
    // Between two looks at a process that has just begun it may give memory back.
    wait_for("16 MiB in use, besides the page cache", DEADLINE, || {
        let used = cgroup.usage().memory_bytes.unwrap();
        (16 * MIB..64 * MIB).contains(&used) && used < read_number(&file).unwrap()
    })
    .await;
    assert_eq!(cgroup.usage().processes, Some(1));

    cgroup.remove().await;
    assert_eq!((cgroup.usage(), cgroup.oom_kills()), (Usage::default(), 0));
}

#[tokio::test]
async fn what_is_frozen_is_removed_too() {
    let Some(server) = server() else { return };
    let cgroup = server.create("frozentree", &Resources::default());
    let mut inmate = Inmate::start(&cgroup, "sleep 600 & sleep 600 & wait");
    wait_for_processes(&cgroup, 3).await;
    let (hierarchy, file, order) =
        either(&cgroup, ("freezer", "freezer.state", "FROZEN"), ("pids", "cgroup.freeze", "1"));
    let file = cgroup.file(hierarchy, file).unwrap();
    write(&file, order).unwrap();
    let events = file.with_file_name("cgroup.events");
    let is_frozen = || match cgroup.layout.version {
        Version::V1 => fs::read_to_string(&file).unwrap().trim() == order,
        Version::V2(_) => read_field(&events, "frozen") == Some(1),
    };
    wait_for("a frozen group", DEADLINE, is_frozen).await;

    cgroup.remove().await;
    assert!(server.cgroups.found().is_empty());
    assert_eq!(inmate.ended().await.signal(), Some(libc::SIGKILL));
    // Again, as after a crash in the middle.
    cgroup.remove().await;
}

#[tokio::test]
async fn a_parent_goes_with_its_last_group_and_no_other_does() {
    let (Some(server), Some(other)) = (server(), server()) else { return };
    let kept = other.create("otherserver", &Resources::default());
    let first = server.create("firstofit", &Resources::default());
    let second = server.create("secondofit", &Resources::default());
    assert_eq!(server.cgroups.found(), [sandbox("firstofit"), sandbox("secondofit")]);

    first.remove().await;
    assert!(server.parents().iter().all(|parent| parent.exists()));
    // As the next server would.
    let next = Cgroups::find(server.data_dir.path());
    next.open(&second.sandbox).remove().await;
    assert!(!server.parents().iter().any(|parent| parent.exists()));
    assert!(kept.procs_files().iter().all(|file| file.exists()));

    let third = server.create("thirdofit", &Resources::default());
    assert_eq!(third.procs_files().len(), server.parents().len());
}

#[tokio::test]
async fn groups_come_and_go_at_once() {
    let Some(server) = server() else { return };
    let tasks = (0..8).map(|task| {
        let cgroups = server.cgroups.clone();
        std::thread::spawn(move || {
            for round in 0..10 {
                let cgroup = limited(&cgroups, &format!("parallel{task}x{round}"), &Resources::default());
                super::super::remove::remove(&cgroup.unwrap());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.join().unwrap();
    }
    assert!(!server.parents().iter().any(|parent| parent.exists()));
}

#[test]
fn a_refused_limit_is_told() {
    let Some(server) = server() else { return };
    // More than the kernel has numbers for.
    let resources = Resources { processes: u32::MAX, ..Resources::default() };
    let error = limited(&server.cgroups, "refusedlimit", &resources).unwrap_err();
    assert!(matches!(&error, Error::Limit { file, .. } if file.ends_with("pids.max")), "{error:?}");
}
