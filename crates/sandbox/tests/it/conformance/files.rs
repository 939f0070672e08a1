//! What of its file system an agent may write, how much, and what the host sees of that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::{obedient, obedient_script, run, run_words};
use super::world::World;

pub(crate) async fn what_is_not_the_agents_cannot_be_written(world: World) {
    let sandbox = obedient(&world).await;
    let mut directories = vec!["/", "/usr", "/usr/lib", "/etc", "/dev", "/dev/pts", "/sys", "/proc", "/proc/sys"];
    let files = [
        "/etc/passwd",
        "/etc/hosts",
        "/usr/bin/env",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
    ];
    // Where there is one user, the rest of the private layer is the agent's as much as the sidecar's.
    let modes = if !world.has_users() { vec!["/usr", "/dev", "/proc/sys"] } else { directories.clone() };
    if world.has_users() {
        directories.extend(["/opt", "/root", "/run", "/srv", "/mnt", "/var", "/home"]);
    }
    let new: Vec<_> = directories.iter().map(|directory| format!("{directory}/innkeep-test")).collect();
    let writes = format!(
        "def make(path): return os.close(os.open(path, os.O_WRONLY | os.O_CREAT))\n\
         result = [(path, attempt(make, path)) for path in {new:?} + {files:?}]\n\
         result += [(path, attempt(os.chmod, path, 0o777)) for path in {modes:?}]\n\
         result += [(path, attempt(os.rename, path, path + '2')) for path in {directories:?}]",
    );
    let answers: Vec<(String, Option<String>)> = serde_json::from_value(run(&sandbox, &writes).await).unwrap();
    let refused = ["EACCES", "EPERM", "EROFS", "ENOENT", "EBUSY", "EXDEV", "EOVERFLOW"];
    let was_refused = |answer: &Option<String>| answer.as_ref().is_some_and(|error| refused.contains(&error.as_str()));
    let done: Vec<_> = answers.iter().filter(|(_, answer)| !was_refused(answer)).collect();
    assert!(done.is_empty(), "{done:?}");
    // What carries the base is read-only, and not only for who the agent is.
    for directory in ["/usr", "/proc/sys", "/dev"] {
        let is_read_only = format!("bool(os.statvfs({directory:?}).f_flag & os.ST_RDONLY)");
        assert_eq!(run(&sandbox, &is_read_only).await, true, "{directory}");
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_is_the_agents_can_be_written(world: World) {
    let sandbox = obedient(&world).await;
    let uses = r"
def use(directory):
    inner = directory + '/innkeep-test/inner'
    os.makedirs(inner)
    with open(inner + '/file', 'w') as file: file.write('kept')
    os.rename(inner + '/file', directory + '/moved')
    os.symlink('moved', directory + '/link')
    os.chmod(directory + '/moved', 0o600)
    os.removedirs(inner)
    read = open(directory + '/link').read()
    os.unlink(directory + '/link')
    return read
result = [attempt(use, directory) for directory in ('/tmp', '/var/tmp', '/var/task', '/home/agent', '/dev/shm')]
";
    assert_eq!(run_words(&sandbox, uses).await, ["kept"; 5]);
    // What libraries do with these: semaphores, terminals, devices.
    let devices = "import multiprocessing\nmultiprocessing.Lock().acquire()\n\
                   for fd in os.openpty(): os.close(fd)\n\
                   open('/dev/null', 'w').write('x')\nresult = [len(open(f'/dev/{name}', 'rb').read(4)) for name in ('zero', 'urandom')]";
    assert_eq!(run(&sandbox, devices).await, serde_json::json!([4, 4]));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn the_code_on_the_host_is_not_what_the_agent_changes(world: World) {
    let spec = world.spec(&obedient_script());
    let code = spec.bundle.code().unwrap().to_owned();
    fs::create_dir(code.join("data")).unwrap();
    fs::write(code.join("data/old"), "old").unwrap();
    fs::set_permissions(code.join("data"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let before = tree(&code);
    let sandbox = world.launch_ready(spec).await;
    let changes = r"
def write(path): return open(path, 'w').close()
result = [attempt(write, 'new'), attempt(os.mkdir, 'newer')]
changed = [attempt(write, 'main.py'), attempt(write, 'data/old'), attempt(write, 'data/new'), attempt(os.chmod, 'main.py', 0o777),
    attempt(os.rename, 'main.py', 'moved.py'), attempt(os.unlink, 'data/old')]
";
    assert_eq!(run(&sandbox, changes).await, serde_json::json!([null, null]));
    // As root, the files it finds are nobody's whom the sandbox knows: it reads them. Where there is one user, they are its own.
    let done = run(&sandbox, "[number for number, error in enumerate(changed) if error is None]").await;
    let all = serde_json::json!([0, 1, 2, 3, 4, 5]);
    assert_eq!(done, if world.has_users() { serde_json::json!([2, 5]) } else { all });
    assert_eq!(tree(&code), before);
    sandbox.kill(Duration::ZERO).await;
    assert_eq!(tree(&code), before);
}

pub(crate) async fn the_codes_own_directories_can_be_written(world: World) {
    let spec = world.spec(&obedient_script());
    let code = spec.bundle.code().unwrap().to_owned();
    fs::create_dir_all(code.join("data/inner")).unwrap();
    fs::write(code.join("data/inner/old"), "old").unwrap();
    for directory in ["data/inner", "data"] {
        // As they are sealed.
        fs::set_permissions(code.join(directory), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    }
    let sandbox = world.launch_ready(spec).await;
    let writes = r"
def write(path):
    with open(path, 'w') as file: file.write('new')
result = [attempt(write, 'data/new'), attempt(write, 'data/inner/new'), open('data/inner/old').read(), sorted(os.listdir('data/inner'))]
";
    assert_eq!(run(&sandbox, writes).await, serde_json::json!([null, null, "old", ["new", "old"]]));
    sandbox.kill(Duration::ZERO).await;
    assert_eq!(fs::read_dir(code.join("data/inner")).unwrap().count(), 1);
    for directory in ["data", "data/inner"] {
        fs::set_permissions(code.join(directory), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
}

pub(crate) async fn mounts_tell_nothing_of_the_hosts_directories(world: World) {
    let sandbox = obedient(&world).await;
    let told =
        run_words(&sandbox, "[open(f'/proc/self/{name}').read() for name in ('mounts', 'mountinfo', 'mountstats')]")
            .await;
    for text in told {
        let host = world.path().file_name().unwrap().to_str().unwrap();
        assert!(!text.contains(host) && !text.contains("sandboxes"), "{host}\n{text}");
        let ours = if world.is_image() { " /dev/shm " } else { " /var/task " };
        assert!(text.contains(ours), "{text}");
    }
    let groups = "[line.split(':', 2)[2] for line in open('/proc/self/cgroup').read().splitlines()]";
    assert_eq!(BTreeSet::from_iter(run_words(&sandbox, groups).await), BTreeSet::from(["/".to_owned()]));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn the_private_layer_holds_so_many_bytes(world: World) {
    let mut spec = world.spec(&obedient_script());
    spec.resources.disk_bytes = 8 << 20;
    let sandbox = world.launch_ready(spec).await;
    let fill = r"
def fill(path):
    with open(path, 'wb', buffering=0) as file:
        while file.write(b'x' * (1 << 16)): pass
def filled(directory):
    reason = attempt(fill, directory + '/big')
    size = os.stat(directory + '/big').st_size
    os.unlink(directory + '/big')
    return reason, size
";
    let fill = format!("{fill}result = [filled(directory) for directory in {}]", world.own_places());
    for _ in 0..2 {
        let filled: Vec<(String, u64)> = serde_json::from_value(run(&sandbox, &fill).await).unwrap();
        for (reason, size) in filled {
            assert_eq!(reason, "ENOSPC");
            assert!((7 << 20..=8 << 20).contains(&size), "{size}");
        }
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn the_private_layer_holds_so_many_files(world: World) {
    let mut spec = world.spec(&obedient_script());
    spec.resources.disk_files = 500;
    let sandbox = world.launch_ready(spec).await;
    let fill = r"
def fill(directory):
    os.mkdir(directory + '/many')
    for n in range(1000): os.close(os.open(f'{directory}/many/{n}', os.O_CREAT | os.O_WRONLY))
def filled(directory):
    reason = attempt(fill, directory)
    count = len(os.listdir(directory + '/many'))
    subprocess.run(['rm', '-r', directory + '/many'])
    return reason, count
";
    let fill = format!("{fill}result = [filled(directory) for directory in {}]", world.own_places());
    for _ in 0..2 {
        let filled: Vec<(String, u64)> = serde_json::from_value(run(&sandbox, &fill).await).unwrap();
        for (reason, count) in filled {
            assert_eq!(reason, "ENOSPC");
            assert!((300..500).contains(&count), "{count}");
        }
    }
    sandbox.kill(Duration::ZERO).await;
}

/// Returns names and contents below `directory`; of what is no file, the name.
pub(super) fn tree(directory: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (kind, path) = (entry.file_type().unwrap(), entry.path());
        let content = kind.is_file().then(|| fs::read(&path).unwrap());
        if kind.is_dir() {
            found.extend(tree(&path));
        }
        found.push((path, content));
    }
    found.sort();
    found
}
